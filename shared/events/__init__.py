"""The vocabulary of the house: the CloudEvents envelope and one module per topic. Pure values, no I/O, no clock."""

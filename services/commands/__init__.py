"""Commands that are more than a line: each module is one, the command line registers them."""

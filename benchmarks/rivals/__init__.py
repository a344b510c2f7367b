"""One aggregation by several means: per customer the number of purchases, the revenue and the time of the last one.

All read the same Kafka topic. Each means is a program of its own that is given what to read and prints what it took
(`program`); those of other projects run in an environment of their own (`requirements/rivals.txt`).
"""

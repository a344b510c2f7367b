"""Brings files of history in: rows of CSV, JSON Lines or Parquet become events between a begin and an end mark.

No service: it owns no database and consumes nothing. It reads files, sorts what they hold in a file of its own in the
data folder, and appends to the log what ingest would have appended had the same events been posted; the composition
root passes ingest's acceptance in.
"""

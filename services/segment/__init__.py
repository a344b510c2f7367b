"""Segment: puts every customer into classes and keeps their history.

Owns definitions, memberships, timers, population snapshots and the history of changes. Consumes `profiles`, produces
`segment-changes`.
"""

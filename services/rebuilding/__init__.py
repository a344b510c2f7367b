"""Recomputes what a service keeps from the log alone and holds it against what it has; can publish and send nothing.

Plain code of the composition root: it knows services as values and their tables, and no service knows it.
"""

"""Models of our algorithms, small enough to be checked in every reachable state."""

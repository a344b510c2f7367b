"""The profile service: who is who, and the one live record per customer.

Owns identity evidence, what was counted for every identifier, records and timelines; consumes `interactions`; produces
`profiles`. Customers are clusters of identifiers, a pure function of the evidence; a record is the join of what its
identifiers counted, so merge and unmerge are joins of other parts, never replays.
"""

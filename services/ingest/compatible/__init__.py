"""The entrance for the libraries of Segment and RudderStack: their paths, their envelope, their names of events.

A request becomes the same CloudEvents that `POST /v1/events` takes and goes through the same door; here is only what
is different: how a key is shown, how clocks are corrected, how names are mapped and which answers keep the libraries
calm.
"""

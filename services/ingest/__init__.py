"""The entrance: owns dead letters, consumes the source topics and `dead-letters`, produces that and `interactions`.

Everything that comes in, by REST or by topic, goes through one pure function, `acceptance.accept_bytes`.
"""

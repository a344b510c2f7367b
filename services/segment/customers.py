"""The states of customers as they are stored."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from sqlalchemy import Connection, select

from services.segment import tables
from services.segment.model import Customer

CHUNK = 500
"""Bind values a statement: below every limit of both databases."""

_decoder = msgspec.msgpack.Decoder(Customer)
encode_customer = msgspec.msgpack.Encoder().encode
"""The stored form of a customer."""


def decode_customer(body: bytes) -> Customer:
    """A stored customer."""
    return _decoder.decode(body)


def load_customers(connection: Connection, names: Sequence[str]) -> dict[str, Customer]:
    """Customers by profile id; those not known are absent."""
    found: dict[str, Customer] = {}
    for chunk in chunks(names):
        rows = connection.execute(select(tables.customer.c.body).where(tables.customer.c.profile_id.in_(chunk)))
        for (body,) in rows:
            customer = _decoder.decode(body)
            found[customer.profile_id] = customer
    return found


def everybody(connection: Connection) -> Iterator[Customer]:
    """All customers, streamed."""
    query = select(tables.customer.c.body).order_by(tables.customer.c.profile_id)
    rows = connection.execute(query, execution_options={"yield_per": 500})
    for (body,) in rows:
        yield _decoder.decode(body)


def chunks(names: Sequence[str]) -> Iterable[Sequence[str]]:
    """The names in stretches that fit one statement."""
    for start in range(0, len(names), CHUNK):
        yield names[start : start + CHUNK]

"""The states of customers as they are stored."""

from collections.abc import Iterator, Sequence

import msgspec
from sqlalchemy import Connection, select

from services.segment import tables
from services.segment.model import Customer
from shared.database import among

_decoder = msgspec.msgpack.Decoder(Customer)
encode_customer = msgspec.msgpack.Encoder().encode
"""The stored form of a customer."""


def decode_customer(body: bytes) -> Customer:
    """A stored customer."""
    return _decoder.decode(body)


def load_customers(connection: Connection, names: Sequence[str]) -> dict[str, Customer]:
    """Customers by profile id; those not known are absent."""
    found: dict[str, Customer] = {}
    for these in among(connection, tables.customer.c.profile_id, names):
        rows = connection.execute(select(tables.customer.c.body).where(these))
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

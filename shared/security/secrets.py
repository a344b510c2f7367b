"""Secrets of the platform itself, made once and shared by all its processes through the database with the keys."""

import secrets

from sqlalchemy import Column, String, Table, insert, select
from sqlalchemy.exc import IntegrityError

from shared.errors import Conflict
from shared.security.keys import Transaction, metadata

secret = Table(
    "secret",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", String, nullable=False),
)


def mint_secret() -> str:
    """A new secret: 32 bytes of chance as text."""
    return secrets.token_urlsafe(32)


def stored_secret(transaction: Transaction, name: str) -> str:
    """The secret of a name; of several processes that ask first, one makes it. Raises Unavailable."""
    query = select(secret.c.value).where(secret.c.name == name)
    with transaction() as connection:
        found: str | None = connection.scalar(query)
    if found is not None:
        return found
    try:
        with transaction() as connection:
            connection.execute(insert(secret).values(name=name, value=mint_secret()))
    except (IntegrityError, Conflict):
        pass
    with transaction() as connection:
        return str(connection.execute(query).scalar_one())

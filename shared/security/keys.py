"""Where API keys are kept: only their digests, in one small table, and for a few seconds in memory."""

import hmac
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

from sqlalchemy import BigInteger, Column, Connection, LargeBinary, MetaData, String, Table, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from shared.errors import Conflict, Unavailable
from shared.events.times import from_ms, to_ms
from shared.security.forms import GRANTS, digest, key_id_of, mint, presented_key

NOTHING: frozenset[str] = frozenset()
FRESH_SECONDS = 5.0
STALE_SECONDS = 300.0

metadata = MetaData()
api_key = Table(
    "api_key",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("scope", String(16), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    # The scope again on the key made at first start, else null: of several processes starting at once one wins.
    Column("first", String(16), unique=True),
)


class Key(NamedTuple):
    """A key as it may be shown: everything but its secret."""

    id: str
    scope: str
    created_at: datetime
    revoked_at: datetime | None


class Created(NamedTuple):
    """A new key; `text` is what the caller presents and is shown this one time."""

    key: Key
    text: str


class Grant(NamedTuple):
    """Which key was presented and what it allows."""

    key_id: str
    scopes: frozenset[str]


class Keys(Protocol):
    """The keys that open this platform. All methods may read the database and raise Unavailable."""

    def create(self, scope: str) -> Created:
        """Make a key. Raises WrongSetting for an unknown scope."""

    def list(self) -> tuple[Key, ...]:
        """All keys ever made, revoked ones too, oldest first; fixed keys are not among them."""

    def revoke(self, key_id: str) -> bool:
        """Close a key for good: here at once, in other processes within five seconds. False when there is none open."""

    def grant_of(self, authorization: str | None) -> Grant | None:
        """The grant of an Authorization header (Bearer, or Basic with the key as user), None when it opens nothing."""

    def scopes_of(self, authorization: str | None) -> frozenset[str]:
        """What an Authorization header allows; empty when there is no valid key in it."""

    def fresh(self, authorization: str | None = None) -> bool:
        """Whether `grant_of` would answer for this header from memory, without the database."""


class _Entry(NamedTuple):
    scope: str
    digest: bytes


Transaction = Callable[[], AbstractContextManager[Connection]]
"""Opens a transaction that commits at its end."""

_UNKNOWN = _Entry("", digest(b"no such key"))


class StoredKeys:
    """Keys in the table `api_key`, read at most every five seconds, and fixed keys from the configuration.

    When the database is away, what was read last goes on being used for five minutes.
    """

    def __init__(
        self, transaction: Transaction, clock: Callable[[], datetime], fixed: Mapping[str, str | None] | None = None
    ) -> None:
        self._transaction = transaction
        self._clock = clock
        self._fixed = {scope: digest(text.encode()) for scope, text in (fixed or {}).items() if text}
        self._entries: Mapping[str, _Entry] = {}
        self._read_at: float | None = None
        self._retry_at = 0.0
        self._lock = threading.Lock()

    def create(self, scope: str) -> Created:
        """Make a key; its text cannot be had again."""
        created = self._insert(mint(scope), first=False)
        if created is None:
            raise Unavailable("two keys were given the same id; try again", retry_after=1)
        return created

    def create_first(self, scope: str) -> Created | None:
        """Make the key of the first start; None when this or another process has made it before."""
        return self._insert(mint(scope), first=True)

    def adopt(self, text: str, scope: str) -> bool:
        """Accept a key that was made earlier; False when it is not one of ours, of another scope, or was revoked."""
        key_id = key_id_of(text)
        if key_id is None or text.split("_")[1] != scope:
            return False
        with self._transaction() as connection:
            row = connection.execute(
                select(api_key.c.digest, api_key.c.revoked_at).where(api_key.c.id == key_id)
            ).one_or_none()
        if row is None:
            return self._insert(text, first=False) is not None
        return row.revoked_at is None and hmac.compare_digest(row.digest, digest(text.encode()))

    def list(self) -> tuple[Key, ...]:
        """All keys but the fixed ones, oldest first."""
        query = select(api_key).order_by(api_key.c.created_at, api_key.c.id)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return tuple(
            Key(row.id, row.scope, from_ms(row.created_at), None if row.revoked_at is None else from_ms(row.revoked_at))
            for row in rows
        )

    def revoke(self, key_id: str) -> bool:
        """Close a key for good."""
        statement = update(api_key).where(api_key.c.id == key_id, api_key.c.revoked_at.is_(None))
        with self._transaction() as connection:
            closed = connection.execute(statement.values(revoked_at=to_ms(self._clock()))).rowcount == 1
        self._forget()
        return closed

    def grant_of(self, authorization: str | None) -> Grant | None:
        """The grant of an Authorization header; takes the same time for a wrong secret and for an unknown id."""
        presented = presented_key(authorization)
        if presented is None:
            return None
        shown = digest(presented)
        scope = self._fixed_scope(shown)
        if scope is not None:
            return Grant(f"fixed-{scope}", GRANTS[scope])
        key_id = key_id_of(presented.decode("utf-8", "replace"))
        if key_id is None:
            return None
        entry = self._current().get(key_id, _UNKNOWN)
        return Grant(key_id, GRANTS[entry.scope]) if hmac.compare_digest(shown, entry.digest) else None

    def _fixed_scope(self, shown: bytes) -> str | None:
        return next((scope for scope, fixed in self._fixed.items() if hmac.compare_digest(shown, fixed)), None)

    def scopes_of(self, authorization: str | None) -> frozenset[str]:
        """What an Authorization header allows."""
        grant = self.grant_of(authorization)
        return NOTHING if grant is None else grant.scopes

    def fresh(self, authorization: str | None = None) -> bool:
        """Whether the keys were read within the last five seconds, or the one in the header is a fixed one."""
        if self._read_at is not None and time.monotonic() - self._read_at < FRESH_SECONDS:
            return True
        presented = presented_key(authorization)
        return presented is not None and self._fixed_scope(digest(presented)) is not None

    def _insert(self, text: str, *, first: bool) -> Created | None:
        _, scope, key_id, _, _ = text.split("_")
        now = to_ms(self._clock())
        values = {"id": key_id, "scope": scope, "digest": digest(text.encode()), "created_at": now}
        try:
            with self._transaction() as connection:
                connection.execute(insert(api_key).values(**values, first=scope if first else None))
        except (IntegrityError, Conflict):
            return None
        self._forget()
        return Created(Key(key_id, scope, from_ms(now), None), text)

    def _forget(self) -> None:
        with self._lock:
            self._read_at = None
            self._retry_at = 0.0

    def _current(self) -> Mapping[str, _Entry]:
        if self.fresh():
            return self._entries
        with self._lock:
            now = time.monotonic()
            if not self.fresh() and now >= self._retry_at:
                self._reload(now)
            if self._read_at is None or now - self._read_at > STALE_SECONDS:
                raise Unavailable("the database with the API keys does not answer")
            return self._entries

    def _reload(self, now: float) -> None:
        query = select(api_key.c.id, api_key.c.scope, api_key.c.digest).where(api_key.c.revoked_at.is_(None))
        try:
            with self._transaction() as connection:
                rows = connection.execute(query).all()
        except (OperationalError, Unavailable):
            self._retry_at = now + FRESH_SECONDS
            return
        self._entries = {row.id: _Entry(row.scope, row.digest) for row in rows}
        self._read_at = time.monotonic()

"""The gateway: sends what the core has claimed. The intent is kept before any byte leaves, the outcome after."""

import functools
import os
import smtplib
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from sqlalchemy import select

from services.campaign import queue, tables
from services.campaign.composition import Composed, Writer, writer_of
from services.campaign.documents import Rulebook, Rulebooks
from services.campaign.model import Message
from services.campaign.outbox import Outbox
from services.campaign.posting import Posting, sms_place, webhook_place
from services.campaign.queue import Claimed, Told
from services.campaign.smtp import Session, smtp_address
from services.campaign.template import TemplateError
from services.campaign.transport import Answer, Carrier, Opening, Parcel
from shared.database import transaction
from shared.errors import Conflict, Unavailable
from shared.events.times import from_ms, to_ms
from shared.runtime.clock import Clock
from shared.runtime.service import Context

BATCH = 500
FEW = 50
"""A batch that leaves one by one is small, so that what is decided meanwhile need not wait for it."""

IDLE_SECONDS = 1.0
"""After so long without news the queue is looked at again: for pauses that are over, and what other processes left."""

CHORES_MS = 5_000
STALE_MS = 5 * 60_000
"""A claim older than this is decided again before it is sent: consent or the hour may have changed."""

BACKOFF_MS = (60_000, 300_000, 1_800_000, 7_200_000)
"""Pauses after an attempt that surely sent nothing; after the last one the message has failed."""

logger = structlog.get_logger()


class _Ready(NamedTuple):
    claimed: Claimed
    made: Composed


def ways_of(settings: Mapping[str, Any], sender: str, clock: Clock) -> Mapping[str, Opening]:
    """The transports that are configured, by channel. Raises WrongSetting."""
    ways: dict[str, Opening] = {}
    if settings.get("smtp_url"):
        address = smtp_address(str(settings["smtp_url"]))
        ways["email"] = lambda: Session(address, sender)
    if settings.get("sms_url"):
        sms = sms_place(str(settings["sms_url"]))
        ways["sms"] = lambda: Posting(sms, clock)
    if settings.get("webhook_url"):
        hook = webhook_place(str(settings["webhook_url"]), settings.get("webhook_secret"))
        ways["webhook"] = lambda: Posting(hook, clock)
    return ways


class Gateway:
    """Sends the claimed messages of the partitions that this process owns, one batch at a time."""

    def __init__(self, context: Context, rulebooks: Rulebooks) -> None:
        self._context = context
        self._rulebooks = rulebooks
        self._writer: Writer = writer_of(context.settings)
        self._outbox = Outbox(Path(context.settings.get("outbox_dir") or "outbox"))
        self._ways = ways_of(context.settings, self._writer.sender.address, context.clock)
        self._sender = f"{socket.gethostname()}/{os.getpid()}/{id(self)}"
        self._chores_at = 0
        # with the clock of the events a claim is as old as its event: the wall clock says nothing about it
        self._on_event_time = context.settings.get("clock") == "events"

    def work(self, stop: Callable[[], bool]) -> None:
        """Until told to stop. An outage means waiting; nothing is lost by it."""
        news = self._context.news
        while not stop():
            news.clear()
            try:
                busy = self.send_batch()
            except (Conflict, Unavailable) as outage:
                logger.warning("gateway_waiting", service="campaign", reason=type(outage).__name__)
                busy = False
            if not busy:
                news.wait(IDLE_SECONDS)

    def send_batch(self) -> bool:
        """Send what waits, at most one batch; whether there was anything."""
        now, parts = self._now(), self._context.parts()
        if not parts:
            return False
        self._do_chores(now)
        with self._context.engine.connect() as connection:
            claimed = queue.waiting(connection, now, FEW if self._ways else BATCH, parts)
            rulebook = self._rulebooks.load(connection) if claimed else None
            if rulebook is None and queue.is_told(connection, parts):
                self._context.nudge()
        if rulebook is None:
            return False
        ready, outcomes = self._compose(claimed, rulebook, now)
        leaving: dict[str, list[_Ready]] = {}
        for one in ready:
            channel = one.claimed.message.channel or "email"
            if one.claimed.message.history is None and channel in self._ways:
                leaving.setdefault(channel, []).append(one)
            else:
                outcomes.append(self._to_file(one, now))
        self._tell(outcomes)
        for channel, parcels in leaving.items():
            self._carry(parcels, self._ways[channel])
        return True

    def _compose(self, claimed: Sequence[Claimed], rulebook: Rulebook, now: int) -> tuple[list[_Ready], list[Told]]:
        """The messages that can be sent, and the outcomes of those that cannot."""
        ready, outcomes = [], []
        for item in claimed:
            message = item.message
            if self._is_stale(message, now):
                outcomes.append(self._told(item, "late", now))
                continue
            at = from_ms(message.changed_at)
            try:
                made = self._writer.composed(message, item.customer, rulebook, at)
            except TemplateError as error:
                outcomes.append(self._told(item, "refused", now, str(error)))
                continue
            ready.append(_Ready(item, made))
        return ready, outcomes

    def _do_chores(self, now: int) -> None:
        """Every few seconds: settle sends whose sender is gone, delete the files of erased customers."""
        if now - self._chores_at < CHORES_MS:
            return
        self._chores_at = now
        with self._context.engine.connect() as connection:
            files = connection.execute(select(tables.discard)).all()
            stuck = connection.execute(select(tables.dispatch.c.message_id).where(queue.is_stuck(now)).limit(1)).first()
        for row in files:
            moments = tuple(from_ms(at) for at in (row.planned_at, row.sent_at, row.changed_at) if at is not None)
            self._outbox.discard(row.message_id, row.campaign, row.history, moments)
        if files or stuck:
            with transaction(self._context.engine) as connection:
                queue.discarded(connection, [row.message_id for row in files])
                outcomes = queue.broken_off(connection, now)
                queue.tell(connection, outcomes)
            self._context.nudge()

    def _now(self) -> int:
        return to_ms(self._context.clock())

    def _tell(self, outcomes: Sequence[Told]) -> None:
        if outcomes:
            with transaction(self._context.engine) as connection:
                queue.tell(connection, outcomes)
            self._context.nudge()

    def _to_file(self, one: _Ready, now: int) -> Told:
        self._outbox.write(one.claimed.message, one.made.content, one.made.suffix)
        return self._told(one.claimed, "sent", now, None, one.made.subject)

    def _carry(self, ready: Sequence[_Ready], way: Opening) -> None:
        carrier: Carrier | None = None
        for one in ready:
            name = one.claimed.message.message_id
            with transaction(self._context.engine) as connection:
                mine = queue.take(connection, name, self._sender, self._now())
            if not mine:
                continue
            try:
                carrier = carrier or way()
            except (smtplib.SMTPException, OSError) as error:
                self._settle(one, Answer("deferred", f"no connection ({type(error).__name__})"))
                return
            answer = carrier.send(
                Parcel(name, one.made.to, one.made.content), functools.partial(self._enter_data, name)
            )
            self._settle(one, answer)
            if answer.kind in ("unknown", "deferred"):
                carrier.close()
                carrier = None
        if carrier is not None:
            carrier.close()

    def _enter_data(self, message_id: str) -> bool:
        with transaction(self._context.engine) as connection:
            return queue.enter_data(connection, message_id, self._sender, self._now())

    def _settle(self, one: _Ready, answer: Answer) -> None:
        if answer.kind == "lost":
            return
        item, now = one.claimed, self._now()
        if answer.kind != "deferred":
            self._tell([self._told(item, answer.kind, now, answer.reason, one.made.subject)])
        elif item.attempt >= len(BACKOFF_MS):
            self._tell([self._told(item, "failed", now, answer.reason)])
        else:
            with transaction(self._context.engine) as connection:
                later = now + max(BACKOFF_MS[item.attempt], 1000 * answer.not_before)
                queue.postpone(connection, item.message.message_id, item.attempt + 1, later)

    def _is_stale(self, message: Message, now: int) -> bool:
        return message.history is None and not self._on_event_time and now - message.changed_at > STALE_MS

    def _told(self, item: Claimed, kind: str, now: int, reason: str | None = None, subject: str | None = None) -> Told:
        message = item.message
        at = message.changed_at if self._on_event_time else now
        return Told(message.message_id, message.profile_id, kind, at, reason, subject, item.part)

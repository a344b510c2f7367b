"""SMS and webhooks by HTTP: one POST a message, told apart by what is known: sent, surely not sent, or nobody knows."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from services.campaign.transport import Answer, Parcel
from shared.errors import WrongSetting
from shared.events.times import to_ms
from shared.runtime.clock import Clock
from shared.security.webhooks import webhook_headers, webhook_key

TIMEOUT = httpx.Timeout(15.0, connect=5.0)
LATER = frozenset({408, 425, 429, 503})
"""Answers by which the other side says that it has not taken the message and may be asked again."""

LONGEST_PAUSE = 86_400
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class Place(NamedTuple):
    """Where messages of a channel are posted. With a `key` they are signed, and a receiver's fault is no outcome."""

    url: str
    key: bytes | None = None


def sms_place(url: str) -> Place:
    """Read CARTERA_SMS_URL. Raises WrongSetting."""
    return Place(_checked("CARTERA_SMS_URL", url))


def webhook_place(url: str, secret: str | None) -> Place:
    """Read CARTERA_WEBHOOK_URL and its secret. Raises WrongSetting."""
    if not secret:
        raise WrongSetting("CARTERA_WEBHOOK_URL needs CARTERA_WEBHOOK_SECRET: whsec_ and 32 random bytes in base64")
    try:
        key = webhook_key(secret)
    except ValueError as error:
        raise WrongSetting(f"CARTERA_WEBHOOK_SECRET {error}") from error
    return Place(_checked("CARTERA_WEBHOOK_URL", url), key)


def _checked(name: str, url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise WrongSetting(f"{name} must look like https://user:pass@host/path")
    return url


class Posting:
    """A client that posts one message after another. Redirects are not followed, nothing of the environment is used."""

    def __init__(self, place: Place, clock: Clock) -> None:
        self._place = place
        self._clock = clock
        self._client = httpx.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=False)

    def send(self, parcel: Parcel, before_data: Callable[[], bool]) -> Answer:
        """Post one message under a key by which the other side knows it again."""
        if not before_data():
            return Answer("lost", "another sender took the message over")
        headers = {"Content-Type": "application/json", "User-Agent": "Cartera", "Idempotency-Key": parcel.message_id}
        if self._place.key is not None:
            now = to_ms(self._clock()) // 1000
            headers |= webhook_headers(self._place.key, parcel.message_id, now, parcel.content)
        try:
            with self._client.stream("POST", self._place.url, content=parcel.content, headers=headers) as response:
                return self._answer(response)
        except _NOT_SENT as error:
            return Answer("deferred", f"no connection ({type(error).__name__})")
        except httpx.HTTPError as error:
            return Answer("unknown", f"no answer to the message ({type(error).__name__})")

    def _answer(self, response: httpx.Response) -> Answer:
        code = response.status_code
        reason = f"{code} {response.reason_phrase}"
        if 200 <= code < 300:
            return Answer("sent")
        # a receiver of signed webhooks knows a message again by its id: to ask it again is no second message
        if code in LATER or (code >= 500 and self._place.key is not None):
            return Answer("deferred", reason, _pause(response.headers.get("retry-after", "")))
        return Answer("unknown" if code >= 500 else "failed", reason)

    def close(self) -> None:
        """End the connections."""
        self._client.close()


def _pause(retry_after: str) -> int:
    return min(int(retry_after), LONGEST_PAUSE) if retry_after.isascii() and retry_after.isdigit() else 0

"""What carries a message away, whatever the channel: the words that the gateway and its transports share."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol


class Parcel(NamedTuple):
    """A finished message on its way to one recipient."""

    message_id: str
    to: str
    content: bytes


class Answer(NamedTuple):
    """What became of one message. `kind`: sent, deferred (try again), failed, unknown, lost (to another sender).

    `not_before` is the number of seconds after which the other side wants to be tried again.
    """

    kind: str
    reason: str | None = None
    not_before: int = 0


class Carrier(Protocol):
    """An open way to send one message after another."""

    def send(self, parcel: Parcel, before_data: Callable[[], bool]) -> Answer:
        """Send one message. `before_data` is called before its outcome may be unknown; False gives the message up."""

    def close(self) -> None:
        """End it; what was answered stays valid."""


Opening = Callable[[], Carrier]
"""Opens a carrier. Raises OSError (of SMTP: SMTPException) when there is none: nothing was sent."""


SETTING_OF: Mapping[str, str] = {"email": "smtp_url", "sms": "sms_url", "webhook": "webhook_url"}
"""The setting that names the transport of a channel."""


def channels_of(settings: Mapping[str, Any]) -> frozenset[str]:
    """The channels that can be sent.

    As long as nothing is configured all of them go to files. Once something is, a channel without a transport is none:
    a file that nobody reads is no message. E-mails are the exception, they are files until a server is named.
    """
    configured = {channel for channel, setting in SETTING_OF.items() if settings.get(setting)}
    return frozenset({*configured, "email"} if configured else SETTING_OF)

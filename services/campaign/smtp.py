"""One SMTP session, told apart by what is known: sent, surely not sent, or nobody knows."""

import smtplib
import ssl
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from services.campaign.transport import Answer, Parcel
from shared.errors import WrongSetting

TIMEOUT_SECONDS = 30.0


class Address(NamedTuple):
    """Where and as whom to connect."""

    host: str
    port: int
    tls: bool
    user: str | None
    password: str | None


def smtp_address(url: str) -> Address:
    """Read `smtp://user:pass@host:port` or `smtps://…`. Raises WrongSetting without repeating the password."""
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise WrongSetting("CARTERA_SMTP_URL must look like smtp://user:pass@host:port or smtps://…")
    tls = parts.scheme == "smtps"
    return Address(
        parts.hostname,
        parts.port or (465 if tls else 25),
        tls,
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
    )


class Session:
    """A connection for one message after another. Opening it raises OSError or SMTPException: nothing was sent."""

    def __init__(self, address: Address, sender: str) -> None:
        self._sender = sender
        context = ssl.create_default_context()
        if address.tls:
            self._smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                address.host, address.port, timeout=TIMEOUT_SECONDS, context=context
            )
        else:
            self._smtp = smtplib.SMTP(address.host, address.port, timeout=TIMEOUT_SECONDS)
        try:
            self._smtp.ehlo_or_helo_if_needed()
            if not address.tls and self._smtp.has_extn("starttls"):
                self._smtp.starttls(context=context)
                self._smtp.ehlo()
            if address.user is not None:
                self._smtp.login(address.user, address.password or "")
        except BaseException:
            self._smtp.close()
            raise

    def send(self, parcel: Parcel, before_data: Callable[[], bool]) -> Answer:
        """Send one message. `before_data` is called once every address was accepted; False gives the message up."""
        refused = self._addresses(self._sender, parcel.to)
        if refused is not None:
            return refused
        if not before_data():
            self._reset()
            return Answer("lost", "another sender took the message over")
        try:
            code, text = self._smtp.data(parcel.content)
        except smtplib.SMTPDataError as error:
            self._reset()
            return _refusal(error.smtp_code, error.smtp_error)
        except (smtplib.SMTPException, OSError) as error:
            return Answer("unknown", f"the connection broke while the message was sent ({type(error).__name__})")
        return Answer("sent") if 200 <= code < 300 else _refusal(code, text)

    def _addresses(self, sender: str, recipient: str) -> Answer | None:
        try:
            for code, text in (self._smtp.mail(sender), self._smtp.rcpt(recipient)):
                if not 200 <= code < 300:
                    self._reset()
                    return _refusal(code, text)
        except (smtplib.SMTPException, OSError) as error:
            return Answer("deferred", f"the connection broke before the message was sent ({type(error).__name__})")
        return None

    def _reset(self) -> None:
        try:
            self._smtp.rset()
        except (smtplib.SMTPException, OSError):
            self._smtp.close()

    def close(self) -> None:
        """End the session; what was answered stays valid."""
        try:
            self._smtp.quit()
        except (smtplib.SMTPException, OSError):
            self._smtp.close()


def _refusal(code: int, text: bytes | str) -> Answer:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return Answer("failed" if code >= 500 else "deferred", f"{code} {' '.join(shown.split())}"[:200])

"""Whether a delivery comes from who knows the secret: each sender's way of signing, over the bytes as they came. Pure.

Every comparison takes the same time for a nearly right and a quite wrong signature.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal
from urllib.parse import parse_qsl

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

TOLERANCE = 300
"""Seconds that a signed time may be away from now."""


class Delivery(msgspec.Struct, frozen=True):
    """One request of a sender: the address that it was sent to, header names in lower case, the body as it came."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Hmac(msgspec.Struct, frozen=True, tag="hmac", tag_field="scheme", forbid_unknown_fields=True):
    """A plain HMAC of the body in one header."""

    header: str
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""


class Standard(msgspec.Struct, frozen=True, tag="standard", tag_field="scheme", forbid_unknown_fields=True):
    """Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`."""


class Stripe(msgspec.Struct, frozen=True, tag="stripe", tag_field="scheme", forbid_unknown_fields=True):
    """`Stripe-Signature: t=…,v1=…`."""


class Twilio(msgspec.Struct, frozen=True, tag="twilio", tag_field="scheme", forbid_unknown_fields=True):
    """`X-Twilio-Signature`: HMAC-SHA1 of the address and the sorted parameters of the form."""


class SendGrid(msgspec.Struct, frozen=True, tag="sendgrid", tag_field="scheme", forbid_unknown_fields=True):
    """ECDSA over the sender's timestamp and the body; the secret is the verification key, which is public."""


class Shared(msgspec.Struct, frozen=True, tag="shared", tag_field="scheme", forbid_unknown_fields=True):
    """The secret itself, as password of HTTP Basic or in a header."""

    header: str = "x-webhook-secret"


Scheme = Hmac | Standard | Stripe | Twilio | SendGrid | Shared


def verified(scheme: Scheme, secret: str, delivery: Delivery, now: datetime) -> bool:
    """Whether the signature is right and, where a time is signed, of the last five minutes."""
    check: Callable[[str, Delivery, datetime], bool]
    match scheme:
        case Hmac():
            return _hmac(scheme, secret, delivery)
        case Shared():
            return _shared(scheme, secret, delivery)
        case Standard():
            check = _standard
        case Stripe():
            check = _stripe
        case Twilio():
            check = _twilio
        case SendGrid():
            check = _sendgrid
    return check(secret, delivery, now)


def readable(scheme: Scheme, secret: str) -> str | None:
    """What is wrong with a secret for a scheme, None when nothing is."""
    if isinstance(scheme, Standard) and _standard_key(secret) is None:
        return "must be base64, perhaps after whsec_"
    if isinstance(scheme, SendGrid) and _public_key(secret) is None:
        return "must be the verification key: base64 of an elliptic curve public key"
    return None


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def _hmac(scheme: Hmac, secret: str, delivery: Delivery) -> bool:
    digest = hmac.digest(secret.encode(), delivery.body, scheme.algorithm)
    text = digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()
    given = delivery.headers.get(scheme.header.lower(), "").strip()
    return _same(scheme.prefix + text, given.lower() if scheme.encoding == "hex" and not scheme.prefix else given)


def _shared(scheme: Shared, secret: str, delivery: Delivery) -> bool:
    kind, _, credentials = delivery.headers.get("authorization", "").partition(" ")
    password = ""
    if kind.lower() == "basic":
        try:
            password = base64.b64decode(credentials, validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return False
    return _same(secret, password) | _same(secret, delivery.headers.get(scheme.header.lower(), ""))


def _fresh(timestamp: str, now: datetime) -> bool:
    return timestamp.isdecimal() and len(timestamp) < 13 and abs(now.timestamp() - int(timestamp)) <= TOLERANCE


def _standard(secret: str, delivery: Delivery, now: datetime) -> bool:
    name, timestamp = delivery.headers.get("webhook-id", ""), delivery.headers.get("webhook-timestamp", "")
    key = _standard_key(secret)
    if not name or key is None or not _fresh(timestamp, now):
        return False
    signed = f"{name}.{timestamp}.".encode("utf-8", "replace") + delivery.body
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return any([_same(expected, given) for given in delivery.headers.get("webhook-signature", "").split()])


def _standard_key(secret: str) -> bytes | None:
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _stripe(secret: str, delivery: Delivery, now: datetime) -> bool:
    pairs = [pair.partition("=") for pair in delivery.headers.get("stripe-signature", "").split(",")]
    timestamp = next((value for name, _, value in pairs if name.strip() == "t"), "")
    if not _fresh(timestamp, now):
        return False
    expected = hmac.digest(secret.encode(), timestamp.encode() + b"." + delivery.body, "sha256").hex()
    return any([_same(expected, value) for name, _, value in pairs if name.strip() == "v1"])


def _twilio(secret: str, delivery: Delivery, now: datetime) -> bool:
    del now  # no time is signed; a repeated delivery is the same event
    try:
        pairs = parse_qsl(delivery.body.decode(), keep_blank_values=True, strict_parsing=bool(delivery.body))
    except ValueError:
        return False
    signed = delivery.url + "".join(name + value for name, value in sorted(set(pairs)))
    digest = hmac.new(secret.encode(), signed.encode(), hashlib.sha1).digest()
    return _same(base64.b64encode(digest).decode(), delivery.headers.get("x-twilio-signature", ""))


def _sendgrid(secret: str, delivery: Delivery, now: datetime) -> bool:
    del now  # deliveries are repeated for a day with the time of the first; a repeated one is the same event
    key = _public_key(secret)
    timestamp = delivery.headers.get("x-twilio-email-event-webhook-timestamp", "")
    try:
        given = base64.b64decode(delivery.headers.get("x-twilio-email-event-webhook-signature", ""), validate=True)
        if key is None or not timestamp:
            return False
        key.verify(given, timestamp.encode() + delivery.body, ec.ECDSA(SHA256()))
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True


def _public_key(text: str) -> ec.EllipticCurvePublicKey | None:
    try:
        found = load_der_public_key(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return None
    return found if isinstance(found, ec.EllipticCurvePublicKey) else None

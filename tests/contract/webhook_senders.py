"""How each vendor signs, written anew after their documents: what our own checks are checked against."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus, urlencode

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

FOLDER = Path(__file__).parent / "webhooks"
SAMPLES = sorted(path.stem for path in FOLDER.glob("*.json"))
TOKEN = "my-verify-token"
STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@cache
def sendgrid_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_key() -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return base64.b64encode(sendgrid_key().public_key().public_bytes(serialization.Encoding.DER, form)).decode()


def secret(kind: str) -> str:
    return {"sendgrid": public_key(), "standard": STANDARD}.get(kind, f"secret of {kind}")


def sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return found


def body_of(kind: str, payload: Any) -> bytes:
    if kind == "twilio":
        return urlencode(payload).encode()
    return json.dumps(payload, ensure_ascii=False).encode()


def signed(kind: str, body: bytes, url: str, at: int, key: str | None = None) -> dict[str, str]:
    """The headers of a delivery sent at a moment (seconds)."""
    text = secret(kind) if key is None else key
    match kind:
        case "shopify":
            return {"X-Shopify-Hmac-Sha256": _b64(hmac.new(text.encode(), body, hashlib.sha256).digest())}
        case "stripe":
            digest = hmac.new(text.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
            return {"Stripe-Signature": f"t={at},v0={'1' * 64},v1={'0' * 64},v1={digest}"}
        case "twilio":
            return {"X-Twilio-Signature": _twilio(text, url, body)}
        case "sendgrid":
            signature = sendgrid_key().sign(str(at).encode() + body, ec.ECDSA(hashes.SHA256()))
            return {
                "X-Twilio-Email-Event-Webhook-Signature": _b64(signature),
                "X-Twilio-Email-Event-Webhook-Timestamp": str(at),
            }
        case "postmark":
            return {"Authorization": f"Basic {_b64(f'cartera:{text}'.encode())}"}
        case "whatsapp" | "messenger":
            return {"X-Hub-Signature-256": "sha256=" + hmac.new(text.encode(), body, hashlib.sha256).hexdigest()}
        case "standard":
            return _standard(text, body, at)
    raise AssertionError(kind)


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _twilio(token: str, url: str, body: bytes) -> str:
    pairs = sorted(pair.split("=", 1) for pair in body.decode().split("&"))
    text = url + "".join(unquote_plus(name) + unquote_plus(value) for name, value in pairs)
    return _b64(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest())


def _standard(text: str, body: bytes, at: int) -> dict[str, str]:
    key = base64.b64decode(text.removeprefix("whsec_"))
    digest = _b64(hmac.new(key, f"msg_1.{at}.".encode() + body, hashlib.sha256).digest())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": f"v1,bm8= v1,{digest}"}


def document(kind: str, /, **more: Any) -> Mapping[str, Any]:
    """What is put to set a source of a kind up."""
    return {
        "kind": kind,
        "secret": secret(kind),
        **({"verify_token": TOKEN} if kind in ("whatsapp", "messenger") else {}),
        **more,
    }

"""The document of a source, as it is put and shown, and the source that is made of it. Pure."""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from services.ingest.model import Mode
from services.ingest.normalise import LONGEST
from services.ingest.sources.kinds import EVENTS, GENERIC, Format, kind_of, kinds
from services.ingest.sources.mapping import Rule, compiled_rules, header_names
from services.ingest.sources.signature import Scheme, readable
from services.ingest.sources.values import MappingError
from shared.errors import Fault, InvalidEvent
from shared.events.storable import pointer

INVALID_SOURCE = "invalid_source"
_WEBHOOK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a source is set up. Its name is the CloudEvents `source` of its events.

    `secret` verifies signatures, `verify_token` answers the challenge of Meta; neither is ever shown. `signature` and
    `format` are for generic sources; a `mapping` takes the place of the one that is built in for a vendor.
    """

    name: str
    kind: str
    mode: Mode = "lenient"
    secret: str | None = None
    verify_token: str | None = None
    signature: Scheme | None = None
    format: Format | None = None
    mapping: list[dict[str, Any]] | None = None


class Source:
    """A source ready for use. Made once per change, so that nothing is compiled per delivery."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.name = document.name
        self.kind = kind_of(document.kind)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of its mapping. Raises MappingError."""
        assert self.kind is not None
        return compiled_rules(self.kind.mapping if self.document.mapping is None else self.document.mapping)

    def compile(self) -> None:
        """Make its rules now. Raises MappingError."""
        _ = self.rules

    @cached_property
    def header_names(self) -> frozenset[str]:
        """The headers that its rules look at."""
        return header_names(self.rules)

    @property
    def scheme(self) -> Scheme:
        """How its deliveries are signed."""
        assert self.kind is not None
        return self.document.signature or self.kind.signature

    @property
    def format(self) -> Format:
        """What its bodies are."""
        assert self.kind is not None
        return self.document.format or self.kind.format


def read_document(name: str, body: object, before: Document | None) -> Document:
    """The document in a request; secrets that it leaves out stay as they were.

    Raises InvalidEvent `invalid_source` with pointers into the document.
    """
    if not isinstance(body, Mapping):
        raise _invalid("a source is a JSON object", "")
    if body.get("name", name) != name:
        raise _invalid("the name in the document is not the one in the address", "/name")
    try:
        document = msgspec.convert({**body, "name": name}, Document)
    except msgspec.ValidationError as error:
        raise _unreadable(error) from error
    if before is not None and before.kind == document.kind:
        document = msgspec.structs.replace(
            document,
            secret=before.secret if document.secret is None else document.secret,
            verify_token=before.verify_token if document.verify_token is None else document.verify_token,
        )
    _check(document)
    return document


def _check(document: Document) -> None:
    known = (EVENTS, GENERIC, *kinds())
    if document.kind not in known:
        raise _invalid(f"a kind is one of {', '.join(known)}", "/kind")
    if document.kind == EVENTS:
        _check_events(document)
        return
    if not _WEBHOOK_NAME.fullmatch(document.name):
        raise _invalid("the name of a webhook has letters, digits, dots, hyphens and underscores, at most 64", "/name")
    if document.kind == GENERIC:
        _check_generic(document)
    elif document.signature is not None or document.format is not None:
        field = "signature" if document.signature is not None else "format"
        raise _invalid(f"{field} is for generic sources: this kind has its own", f"/{field}")
    _check_webhook(document)


def _check_generic(document: Document) -> None:
    if document.mapping is None:
        raise _invalid("a generic source needs a mapping", "/mapping")


def _check_webhook(document: Document) -> None:
    source = Source(document)
    if not document.secret:
        raise _invalid("a webhook needs the secret that its signatures are made with", "/secret")
    wrong = readable(source.scheme, document.secret)
    if wrong is not None:
        raise _invalid(wrong, "/secret")
    try:
        source.compile()
    except MappingError as error:
        raise _invalid(error.detail, "/mapping" + pointer(error.place)) from error


def _check_events(document: Document) -> None:
    if not document.name.strip() or len(document.name) > LONGEST:
        raise _invalid(f"a source has 1 to {LONGEST} characters", "/name")
    for field in ("secret", "verify_token", "signature", "format", "mapping"):
        if getattr(document, field) is not None:
            raise _invalid(f"{field} is for webhooks", f"/{field}")


def _invalid(detail: str, place: str) -> InvalidEvent:
    return InvalidEvent(INVALID_SOURCE, (Fault(detail, place),))


_AT = re.compile(r"^(?P<detail>.*?)(?: - at `\$(?P<place>[^`]*)`)?$", re.DOTALL)


def _unreadable(error: msgspec.ValidationError) -> InvalidEvent:
    """The library's message with its place as a pointer: ``Expected `str` - at `$.signature.header` ``."""
    found = _AT.match(str(error))
    assert found is not None
    place = re.sub(r"\[(\d+|\.\.\.)\]", r".\1", found["place"] or "")
    return _invalid(found["detail"], place.replace(".", "/"))


def shown(document: Document) -> dict[str, Any]:
    """A document as the REST interface shows it: whether there are secrets, never which."""
    body: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(document, secret=None, verify_token=None))
    body["mode"] = document.mode
    if document.kind != EVENTS:
        body["secret_set"] = document.secret is not None
        body["path"] = f"/v1/sources/{document.name}/events"
    if document.verify_token is not None:
        body["verify_token_set"] = True
    return body

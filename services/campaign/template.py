"""Message templates: Liquid with bounds on what a template can cost, and on what it can reach."""

import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from liquid import BoundTemplate, Environment
from liquid.exceptions import (
    LiquidError,
    LiquidSyntaxError,
    ResourceLimitError,
    UndefinedError,
    UnknownFilterError,
)
from liquid.undefined import StrictDefaultUndefined, Undefined
from markupsafe import Markup

from services.campaign.abort import AbortedError, AbortTag
from services.campaign.clicks import END_MARK, MARK
from services.campaign.definition import CATEGORIES, NAME, DefinitionError, unknown_fields
from shared.errors import Fault

MAX = 256 * 1024
PARTS: Mapping[str, tuple[str, ...]] = {
    "email": ("subject", "text", "html"),
    "sms": ("text",),
    "webhook": ("text",),
}
REQUIRED = {"email": ("subject", "text"), "sms": ("text",), "webhook": ("text",)}


class TemplateError(Exception):
    """A message cannot be made from its template; the text is the reason that is stored."""


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A template as defined: per channel its parts (`subject`, `text`, `html`) as Liquid text."""

    name: str
    category: str = "marketing"
    channels: dict[str, dict[str, str]]


class Rendered(NamedTuple):
    """A finished text; the subject is one line, `subject` and `html` are None where the channel has none."""

    subject: str | None
    text: str
    html: str | None


def parse_template(document: object) -> Template:
    """Read a template document and compile every part once. Raises DefinitionError."""
    if not isinstance(document, Mapping):
        raise DefinitionError([Fault("must be a mapping")])
    faults = unknown_fields(document, ("template", "category", *PARTS))
    name = document.get("template")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        faults.append(Fault("must be a name of small letters, digits, '-', '_' and '.'", "/template"))
    category = document.get("category", "marketing")
    if category not in CATEGORIES:
        faults.append(Fault(f"must be one of {', '.join(CATEGORIES)}", "/category"))
    channels = {channel: _parts(channel, document[channel], faults) for channel in PARTS if channel in document}
    if not channels:
        faults.append(Fault(f"needs at least one of {', '.join(PARTS)}"))
    if faults:
        raise DefinitionError(faults)
    return Template(name=str(name), category=str(category), channels=channels)


def template_document(template: Template) -> dict[str, Any]:
    """The document that parses to this template."""
    return {"template": template.name, "category": template.category, **template.channels}


def render(template: Template, channel: str, variables: Mapping[str, Any]) -> Rendered:
    """The message of one channel. Raises TemplateError: a missing variable stops the message."""
    parts = template.channels.get(channel)
    if parts is None:
        raise TemplateError(f"template_error: {template.name} has no {channel} part")
    data = plain(variables)
    subject = _render(parts["subject"], False, data) if "subject" in parts else None
    html = _render(parts["html"], True, data) if parts.get("html") else None
    return Rendered(None if subject is None else " ".join(subject.split()), _render(parts["text"], False, data), html)


def faults_against(template: Template, data: Mapping[str, Any]) -> list[Fault]:
    """Every part that names a variable which is not in the data, or a filter that there is not.

    What else may go wrong depends on the customer, and stops his message only.
    """
    faults = []
    for channel, parts in template.channels.items():
        for part, text in parts.items():
            try:
                _compiled(text, part == "html").render(**data)
            except (UndefinedError, UnknownFilterError) as error:
                faults.append(Fault(_hint(str(error.message)), f"/{channel}/{part}"))
            except Exception:
                continue
    return faults


def _hint(said: str) -> str:
    own = re.match(r"customer\.(\w+) is undefined", said)
    return f"{said}; a trait of your own is customer.traits.{own[1]}" if own else said


def plain(value: Any) -> Any:
    """The same data without anything a template could call or trust: mappings, lists and simple values."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str.__str__(value) if isinstance(value, Markup) else str(value)
    return text.translate(_NO_MARKS) if MARK in text or END_MARK in text else text


def _parts(channel: str, value: object, faults: list[Fault]) -> dict[str, str]:
    if not isinstance(value, Mapping):
        faults.append(Fault("must be a mapping", f"/{channel}"))
        return {}
    faults += unknown_fields(value, PARTS[channel], f"/{channel}")
    for part in REQUIRED[channel]:
        if part not in value:
            faults.append(Fault(f"{part} is missing", f"/{channel}"))
    found = {}
    for part, text in value.items():
        if part not in PARTS[channel]:
            continue
        if not isinstance(text, str) or len(text) > MAX:
            faults.append(Fault(f"must be a text of at most {MAX} characters", f"/{channel}/{part}"))
            continue
        found[str(part)] = text
        try:
            _compiled(text, part == "html")
        except LiquidSyntaxError as error:
            faults.append(Fault(f"is no valid Liquid: {error.message}", f"/{channel}/{part}"))
    return found


_NO_MARKS = str.maketrans({MARK: None, END_MARK: None})


class MessageEnvironment(Environment):
    """Liquid with every limit set; filters are bounded before they allocate."""

    block_nesting_limit = 20
    context_depth_limit = 10
    loop_iteration_limit = 5_000
    output_stream_limit = MAX
    local_namespace_limit = MAX


def _text(value: object) -> str:
    return "" if value is None or isinstance(value, Undefined) else str(value)


def _size_before(name: str, left: Any, args: Sequence[Any]) -> int:
    """An upper bound of the result, computed before the filter allocates it."""
    if name == "replace" and len(args) == 2:
        text, old, new = str(left), str(args[0]), str(args[1])
        return len(text) + (text.count(old) if old else len(text) + 1) * len(new)
    if name == "join" and isinstance(left, list | tuple):
        return sum(len(str(item)) for item in left) + len(left) * len(str(args[0]) if args else " ")
    return 0


def _bounded(name: str, filter_: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(filter_)
    def inner(left: Any, *args: Any, **kwargs: Any) -> Any:
        if _size_before(name, left, args) > MAX:
            raise ResourceLimitError(f"{name}: result too large", token=None)
        out = filter_(left, *args, **kwargs)
        if isinstance(out, str | list | tuple) and len(out) > MAX:
            raise ResourceLimitError(f"{name}: result too large", token=None)
        return out

    return inner


def _digest(algorithm: str) -> Callable[[object], str]:
    return lambda value: hashlib.new(algorithm, _text(value).encode()).hexdigest()


def _json(value: object) -> str:
    return json.dumps(None if isinstance(value, Undefined) else value, ensure_ascii=False, default=str)


@functools.cache
def _environment(html: bool) -> Environment:
    environment = MessageEnvironment(autoescape=html, undefined=StrictDefaultUndefined)
    # it would switch escaping off
    del environment.filters["safe"]
    environment.filters["titlecase"] = lambda value: _text(value).title()
    environment.filters["json"] = _json
    environment.filters["tracked"] = lambda value: f"{MARK}{_text(value)}{END_MARK}"
    for algorithm in ("md5", "sha1", "sha256"):
        environment.filters[algorithm] = _digest(algorithm)
    for name in list(environment.filters):
        environment.filters[name] = _bounded(name, environment.filters[name])
    environment.add_tag(AbortTag)
    return environment


@functools.lru_cache(maxsize=512)
def _compiled(text: str, html: bool) -> BoundTemplate:
    return _environment(html).from_string(text)


def _render(text: str, html: bool, data: Mapping[str, Any]) -> str:
    try:
        return str(_compiled(text, html).render(**data))
    except AbortedError as aborted:
        raise TemplateError(f"aborted: {aborted}") from aborted
    except LiquidError as error:
        raise TemplateError(f"template_error: {error.message}") from error
    except Exception as error:
        # some filters leak plain Python errors (ValueError, OverflowError, Unicode…) on hostile input
        raise TemplateError(f"template_error: {type(error).__name__}") from error

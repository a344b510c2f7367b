"""The kinds of sources: what is built in for each sender's webhooks, read from the YAML files of `vendors/`."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec
import yaml

from services.ingest.sources.signature import Scheme, Standard

Format = Literal["json", "form"]

EVENTS = "events"
"""A source without a webhook: CloudEvents of that source by REST and topic, and how strictly they are taken."""

GENERIC = "generic"
"""A webhook whose signature, format and mapping stand in its own document."""


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a vendor's webhooks look like. `challenge` says that the address is verified by a GET first."""

    signature: Scheme
    mapping: list[dict[str, Any]]
    format: Format = "json"
    challenge: bool = False


@cache
def kinds() -> Mapping[str, Kind]:
    """The built-in vendors by name."""
    folder = resources.files("services.ingest.sources") / "vendors"
    files = {file.name.removesuffix(".yaml"): file.read_text("utf-8") for file in folder.iterdir()}
    found = {name: msgspec.convert(yaml.safe_load(text), Kind) for name, text in files.items() if name}
    return dict(sorted(found.items()))


OWN = Kind(signature=Standard(), mapping=[])
"""What a generic source starts from: Standard Webhooks."""


def kind_of(name: str) -> Kind | None:
    """What is built in for a kind of webhook, None for plain events."""
    return None if name == EVENTS else OWN if name == GENERIC else kinds()[name]

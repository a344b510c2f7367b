"""Export and erasure from the command line: who is meant, what all services keep of him, the receipt."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from services.remote import Client
from shared.errors import CarteraError, WrongSetting

PATIENCE = 120.0
"""Seconds to wait for every store to tell what it removed."""

LOOKUPS = {"--email": "email", "--customer-id": "customer_id"}


class NotFound(CarteraError):
    """Nobody is known by what was given."""


def profile_of(client: Client, email: str | None, customer_id: str | None, profile: str | None) -> str:
    """The profile id of the one customer who is meant. Raises WrongSetting unless exactly one name was given."""
    given = {"--email": email, "--customer-id": customer_id, "--profile": profile}
    named = [(option, value) for option, value in given.items() if value is not None]
    if len(named) != 1:
        raise WrongSetting("say who is meant by one of --email, --customer-id, --profile")
    option, value = named[0]
    if option == "--profile":
        return value
    found = client.get("/v1/profiles", {LOOKUPS[option]: value})["profiles"]
    if not found:
        raise NotFound(f"no customer has this {LOOKUPS[option]}")
    return str(found[0]["profile_id"])


def export(client: Client, profile_id: str) -> dict[str, Any]:
    """All that the services keep of a customer, one member for each."""
    kept = client.get(f"/v1/profiles/{profile_id}/export")
    classes = client.get(f"/v1/profiles/{profile_id}/classes")["classes"]
    return {
        **{name: value for name, value in kept.items() if name != "elsewhere"},
        "classes": classes,
        "class_changes": _all(client, f"/v1/profiles/{profile_id}/classes/history", "changes", {}),
        "messages": _all(client, "/v1/messages", "messages", {"profile_id": profile_id}),
    }


def _all(client: Client, path: str, name: str, query: Mapping[str, str]) -> list[Any]:
    found: list[Any] = []
    page = client.get(path, query)
    while True:
        found += page[name]
        if not page[name] or not page.get("next_cursor"):
            return found
        page = client.get(path, {**query, "cursor": page["next_cursor"]})


def erase(client: Client, profile_id: str) -> dict[str, Any]:
    """Erase a customer and wait until every store has told what it removed; the receipt as it is then."""
    receipt = client.delete(f"/v1/profiles/{profile_id}")
    deadline = time.monotonic() + PATIENCE
    while receipt["state"] != "complete" and time.monotonic() < deadline:
        time.sleep(0.25)
        receipt = client.get(f"/v1/erasures/{receipt['erasure_id']}")
    return receipt


def show(out: Console, receipt: Mapping[str, Any]) -> None:
    """A receipt for people: a line per store."""
    out.print(f"erasure {receipt['erasure_id']}: {receipt['state']}", highlight=False, soft_wrap=True)
    for one in receipt["stores"]:
        counts = ", ".join(f"{count} {kind}" for kind, count in one["removed"].items() if count) or "nothing"
        out.print(f"    {one['store']:<10} {one['at']}  {counts}", highlight=False, soft_wrap=True)
    if receipt["state"] != "complete":
        place = f"/v1/erasures/{receipt['erasure_id']}"
        out.print(f"not every store has answered yet: see GET {place}", highlight=False, soft_wrap=True)

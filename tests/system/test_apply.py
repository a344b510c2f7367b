"""`cartera apply` from outside: what it puts, what it would do, and where a document is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.system.house import House, eventually

pytestmark = pytest.mark.both_modes

LOYAL = """# classes
segmentation: loyal
classes:
  - {name: regular, when: purchases_count >= 2}
  - {name: new, when: purchases_count >= 1}
"""
CAMPAIGN = """
campaign: hello-new
on: {segmentation: status, to: active}
steps:
  - template: hello-new
limits: {category: service}
---
template: hello-new
category: service
email: {subject: "Hello", text: "Hello {{ customer.name }}"}
"""


def applied(house: House, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    done = house.command("apply", *arguments, "--json")
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def buy(house: House, number: int) -> None:
    """One customer with one purchase."""
    data = {"customer": {"customer_id": f"C-{number}", "email": f"c{number}@example.com"}, "total": 5}
    event = {"specversion": "1.0", "id": f"o-{number}", "source": "test", "type": "purchase.completed"}
    assert house.post({**event, "data": {**data, "order_id": f"o-{number}"}}).status_code == 202


def test_a_dry_run_tells_who_would_move_and_what_would_be_sent(house: House, tmp_path: Path) -> None:
    for number in range(3):
        buy(house, number)
    eventually(lambda: house.get("/v1/segmentations/status/classes")["total"] == 3)
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "loyal.yaml").write_text(LOYAL)
    (folder / "welcome.yml").write_text(CAMPAIGN)

    def foreseen() -> dict[str, dict[str, Any]]:
        code, rows = applied(house, str(folder), "--dry-run")
        assert code == 0, [row.get("errors") for row in rows]
        return {f"{row['kind']} {row['name']}": row for row in rows}

    rows = eventually(lambda: found if (found := foreseen())["campaign hello-new"]["dry_run"]["total"] == 3 else None)
    assert list(rows) == ["template hello-new", "segmentation loyal", "campaign hello-new"]
    assert rows["segmentation loyal"]["preview"]["moves"] == [{"from": None, "to": "new", "count": 3}]
    (decided,) = rows["campaign hello-new"]["dry_run"]["decisions"]
    assert decided["count"] == 3
    assert decided["decision"] in ("send", "later")  # at night it is later
    assert house.ask("GET", "/v1/campaigns/hello-new").status_code == 404
    code, done = applied(house, str(folder))
    assert (code, [row["status"] for row in done]) == (0, ["applied"] * 3)
    assert house.get("/v1/campaigns/hello-new")["campaign"] == "hello-new"
    changed = tmp_path / "template.yaml"
    changed.write_text(CAMPAIGN.partition("---")[2].replace("category: service", "category: marketing"))
    _, (template, campaign) = applied(house, str(changed), "--dry-run")
    assert (template["status"], campaign["name"]) == ("checked", "hello-new")


def test_what_is_wrong_is_told_with_file_and_line(house: House, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        LOYAL.replace("purchases_count >= 2", "purchase_count >= 2")
        + "---\n"
        + CAMPAIGN.replace("Hello {{", "{{ x.y }}{{")
    )
    for dry in ((), ("--dry-run",)):
        code, rows = applied(house, str(file), *dry)
        refused = {row["kind"]: row for row in rows if row["status"] == "refused"}
        assert code == 1
        assert refused["segmentation"]["errors"][0]["place"] == f"{file}:4"
        assert refused["template"]["errors"][0]["place"] == f"{file}:16"
    file.write_text("a: [1\nb: 2\n")
    done = house.command("apply", str(file))
    assert (done.returncode, done.stderr) == (
        2,
        f"cartera: {file}:2: this is no YAML: expected ',' or ']', but got ':'\n",
    )
    file.write_text("\nsegment: loyal\n")
    done = house.command("apply", str(file))
    assert (done.returncode, done.stderr[: len(f"cartera: {file}:2: ")]) == (2, f"cartera: {file}:2: ")

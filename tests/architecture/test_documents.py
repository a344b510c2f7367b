"""What the documents list is what there is: settings, metrics, decisions, the words of the house."""

import re
import tomllib

import pytest

from shared.config import Settings
from shared.events.identifiers import KINDS
from shared.telemetry import METRICS, Metric
from tests.architecture.source import ROOT, SERVICES

OPERATIONS = (ROOT / "docs/operations.md").read_text("utf-8")
GLOSSARY = (ROOT / "GLOSSARY.md").read_text("utf-8")
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_documented(metric: Metric) -> None:
    labels = " ".join(f"`{label}`" for label in metric.labels)
    row = f"| `{metric.name}` | {labels} | {metric.meaning} |".replace("|  |", "| |")
    assert row in OPERATIONS.splitlines()


def test_no_metric_is_documented_that_is_not_there() -> None:
    named = set(re.findall(r"`(cartera_[a-z_]+)", OPERATIONS))
    own = {name for name in named if not name.startswith(("cartera_process_", "cartera_write_"))}
    assert own - {"cartera_"} == {metric.name for metric in METRICS}


def test_exactly_the_settings_are_documented() -> None:
    rows = set(re.findall(r"^\| `CARTERA_([A-Z_]+)` \|", OPERATIONS, re.MULTILINE))
    assert rows == {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_five_headings_and_fits_a_page(path: object) -> None:
    text = (ROOT / "docs/decisions" / str(path)).read_text("utf-8")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Context",
        "Decision",
        "Consequences",
        "Alternatives",
        "References",
    ]
    assert all(len(part.strip()) > 30 for part in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:])
    assert len(text.splitlines()) <= 60


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(DECISIONS) + 1))
    titles = [path.read_text("utf-8").splitlines()[0] for path in DECISIONS]
    assert all(title.startswith(f"# {number:04d}. ") for number, title in zip(numbers, titles, strict=True))


TERMS = re.findall(r"^\*\*(.+?)\*\*: ", GLOSSARY, re.MULTILINE)


@pytest.mark.parametrize(
    "word", [*SERVICES, *KINDS, "evolve", "react", "load", "save", "log", "inbox", "outbox", "watermark"]
)
def test_the_glossary_has_the_word(word: str) -> None:
    assert word in TERMS


def test_the_glossary_gives_each_word_one_line_in_order() -> None:
    lines = [line for line in GLOSSARY.splitlines() if line and not line.startswith("#")][1:]
    assert all(re.match(r"\*\*.+?\*\*: .+\.$", line) for line in lines), lines
    for section in re.split(r"^## .+$", GLOSSARY, flags=re.MULTILINE)[1:]:
        terms = re.findall(r"^\*\*(.+?)\*\*: ", section, re.MULTILINE)
        assert terms == sorted(terms, key=str.lower)
    assert len(TERMS) == len(set(TERMS))


def test_the_changelog_knows_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["run", "sample", "dev"])
def test_a_lock_file_is_hashed_and_names_no_host(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text("utf-8")
    entries = re.split(r"\n(?=\S)", text.strip())
    assert len(entries) > 30
    assert all(re.match(r"[a-z0-9._-]+==\S+", entry) and "--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "\n--" not in f"\n{text}"


def test_what_runs_is_what_is_tested() -> None:
    def pins(name: str) -> set[str]:
        text = (ROOT / f"requirements/{name}.txt").read_text("utf-8")
        return set(re.findall(r"^([a-z0-9._-]+==[^\s\\]+)", text, re.MULTILINE))

    assert pins("run") <= pins("sample") <= pins("dev")
    locked = {pin.partition("==")[0] for pin in pins("run")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {re.split(r"[\[<>=~! ]", name)[0].lower() for name in project["dependencies"]}
    assert needed <= locked


def test_no_file_names_the_machine_it_was_made_on() -> None:
    made = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "Makefile", *(ROOT / "requirements").iterdir()]
    foreign = re.compile(r"(?<![\w.])/(work|tmp|root|opt|home)/|\.\./shared")
    assert not [path.name for path in made if foreign.search(path.read_text("utf-8"))]

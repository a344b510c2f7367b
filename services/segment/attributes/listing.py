"""The catalogue for readers: as JSON for `GET /v1/attributes`, as the table of the documentation."""

from services.segment.attributes.catalogue import CATALOGUE

FAMILIES = (
    ("traits.NAME", "any", "", "with events only", "A trait of the customer: number, text or boolean by its use."),
    (
        "scores.NAME",
        "any",
        "",
        "with events only",
        "A score of the customer: number, text or boolean by its use.",
    ),
)


def describe() -> list[dict[str, object]]:
    """Every attribute with its type, unit and what makes it change."""
    fixed = [(a.name, a.type.value, a.unit, a.varies.value, a.description) for a in CATALOGUE.values()]
    return [
        {"name": name, "type": kind, "unit": unit or None, "changes": varies, "description": text}
        for name, kind, unit, varies, text in [*fixed, *FAMILIES]
    ]


def markdown() -> str:
    """The table in `docs/segmentations.md`."""
    head = "| attribute | type | unit | changes | meaning |\n|---|---|---|---|---|\n"
    rows = (
        f"| `{row['name']}` | {row['type']} | {row['unit'] or ''} | {row['changes']} | {row['description']} |\n"
        for row in describe()
    )
    return head + "".join(rows)

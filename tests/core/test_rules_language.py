"""The rule language: what it says, with null, and what it refuses and where."""

from datetime import UTC, datetime

import pytest

from services.segment.attributes import Facts
from services.segment.rules import RuleError, compile_python, parse

AT = datetime(2026, 5, 25, 9, 15, tzinfo=UTC)
SOMEBODY = Facts(purchases=5, revenue=4_990, contract_active=True, traits={"tier": "Gold", "rank": 2, "vip": True})


def holds(rule: str, facts: Facts = SOMEBODY) -> bool | None:
    return compile_python(parse(rule)).holds(facts, AT, {})


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        ("purchases_count >= 5", True),
        ("PURCHASES_COUNT > 5", False),
        ("revenue = 49.90", True),
        ("purchases_count / 2 = 2.5", True),
        ("purchases_count / 0 = 1", None),
        ("-purchases_count < -4 and 2 + 3 * 2 = 8", True),
        ("purchases_count in (1, 5)", True),
        ("purchases_count not in (1, null)", None),
        ("purchases_count not between 6 and 7", True),
        ("traits.tier like 'G_l%'", True),
        ("traits.tier like 'g%'", False),
        ("traits.tier not like 'S%'", True),
        ("traits.nothing = 'x'", None),
        ("traits.nothing is null and traits.tier is not null", True),
        ("coalesce(traits.nothing, 1) >= 1", True),
        ("traits.vip and not traits.nothing is true", True),
        ("traits.tier = 'gold' or traits.tier = 'Gold'", True),
        ("traits.rank = 2", True),
        ("traits.tier > 3", None),
        ("contract_active = (purchases_count > 1)", True),
        ("satisfaction_nps > 1 or contract_active", True),
        ("satisfaction_nps > 1 and contract_active", None),
        ("satisfaction_nps > 1 and not contract_active", False),
        ("not satisfaction_nps > 1", None),
        ("days_since_last_purchase > 1", None),
        ("null", None),
    ],
)
def test_answers(rule: str, answer: bool | None) -> None:
    assert holds(rule) is answer


@pytest.mark.parametrize(
    ("rule", "position", "message"),
    [
        ("reachable and purchases_cout > 1", 15, "did you mean purchases_count"),
        ("purchases_count > 'x'", 19, "'x' is a text, but a number"),
        ("purchases_count", 1, "a boolean is needed"),
        ("reachable\nand\nfoo", 15, "unknown attribute foo"),
        ("days_since_last_purchase < revenue_91d", 28, "both change with time"),
        ("1 / days_since_last_purchase < 2", 5, "below a division"),
        ("traits.x = traits.y", 1, "type of traits.x is not known"),
        ("contract_active >= true", 1, "only be compared with ="),
        ("purchases_count >", 17, "not a condition"),
        ("'abc", 1, "quotation mark"),
        ("", 1, "not a condition"),
        ("reachable; reachable", 1, "not part of the rule language"),
        ("lower(traits.x) = 'a'", 1, "not part of the rule language"),
        ("purchases_count in (select 1)", 1, "list of values"),
        ("exists (select 1)", 16, "not part of the rule language"),
        ("traits.x ilike 'a'", 1, "not part of the rule language"),
        ("traits.x like traits.y", 1, "pattern in single quotes"),
        ('consent_email = "granted"', 17, "unknown attribute"),
        ("traits.x > 1e999", 12, "too large"),
        ("reachable and \0", 15, "NUL"),
        ("reachable or " * 400 + "reachable", 4_001, "longer than"),
        ("not " * 700 + "reachable", 1, "too deeply"),
        ("(" * 1500 + "reachable" + ")" * 1500, 1, "too deeply"),
        ("other.purchases_count > 1", 1, "unknown attribute"),
    ],
)
def test_refusals_name_the_place(rule: str, position: int, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(rule)
    assert message in caught.value.message
    assert caught.value.position == position


def test_a_long_flat_rule_is_fine() -> None:
    assert holds(" or ".join(["purchases_count = 1"] * 150 + ["reachable", "contract_active"])) is True


def test_the_attributes_and_needs_of_a_rule_are_listed_once() -> None:
    rule = parse("revenue_91d_to_average > 1 and (traits.a = 1 or revenue_91d_to_average < 9)")
    assert [attribute.name for attribute in rule.attributes] == ["revenue_91d_to_average", "traits.a"]
    assert rule.needs == {"mean:revenue_91d"}

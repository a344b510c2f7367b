"""The effect of a campaign against published figures, and what an interval must be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaign.uplift import Group, uplift, wilson

# R. G. Newcombe, Statistics in Medicine 17 (1998), 873-890, Table II, method 10
PUBLISHED = [
    (Group(70, 56), Group(80, 48), 0.2000, 0.0524, 0.3339),
    (Group(10, 9), Group(10, 3), 0.6000, 0.1705, 0.8090),
    (Group(7, 6), Group(7, 2), 0.5714, 0.0582, 0.8062),
    (Group(56, 5), Group(29, 0), 0.0893, -0.0381, 0.1926),
    (Group(10, 0), Group(20, 0), 0.0000, -0.1611, 0.2775),
    (Group(10, 10), Group(10, 0), 1.0000, 0.6075, 1.0000),
]


@pytest.mark.parametrize(("treated", "held_out", "difference", "low", "high"), PUBLISHED)
def test_the_published_intervals(treated: Group, held_out: Group, difference: float, low: float, high: float) -> None:
    found = uplift(treated, held_out)
    assert found is not None
    assert found == pytest.approx((difference, low, high), abs=0.00006)


def test_without_both_groups_there_is_no_effect() -> None:
    assert uplift(Group(0, 0), Group(5, 1)) is None
    assert uplift(Group(5, 1), Group(0, 0)) is None


groups = st.integers(1, 500).flatmap(lambda cases: st.builds(Group, st.just(cases), st.integers(0, cases)))


@settings(max_examples=200, deadline=None)
@given(groups, groups)
def test_an_interval_holds_its_difference_and_turns_with_it(one: Group, other: Group) -> None:
    found, turned = uplift(one, other), uplift(other, one)
    assert found is not None
    assert turned is not None
    assert -1 - 1e-9 <= found.low <= found.difference + 1e-9
    assert found.difference - 1e-9 <= found.high <= 1 + 1e-9
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    low, high = wilson(one)
    assert 0 <= low <= one.rate + 1e-9
    assert one.rate - 1e-9 <= high <= 1

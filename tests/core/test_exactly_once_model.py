"""The exactly-once algorithm holds in every reachable state; weaker ones fail, each in its own way.

The sound variants are searched exhaustively with every kind of fault. A weakened one is shown to stand everything but
one kind of fault, and then to fail by that kind alone.
"""

from dataclasses import replace

import pytest

from tests.model.exactly_once import Faults, Variant, check

NONE = Faults(steals=0, crashes=0, answers=0, relay_crashes=0, sends=0)
EVERY_KIND = {
    *("claim", "steal", "commit", "commit, answer lost", "refused", "crash"),
    *("pick", "send", "send fails", "send, ack lost", "delete", "relay crash"),
}

CAS_ONLY = Variant(log="abc", epoch=False, inbox=False, faults=Faults(2, 2, 2, 1, 1))
EPOCH_ONLY = Variant(log="ab", cas=False, inbox=False)
INBOX_ONLY = Variant(cas=False, epoch=False)
NO_GUARD = Variant(log="ab", cas=False, epoch=False, inbox=False)
CLASSIC = replace(NO_GUARD, steps="effect_first")
OFFSET_FIRST = replace(NO_GUARD, steps="offset_first")
MARKS_FIRST = Variant(relay="marks_first")
PIPELINED = Variant(relay="pipelined", dedupe="watermark")


@pytest.mark.parametrize(
    ("variant", "states"),
    [
        pytest.param(
            Variant(faults=Faults(2, 2, 2, 2, 2)), 293_304, id="full, an event sent twice", marks=pytest.mark.heavy
        ),
        pytest.param(Variant(dedupe="watermark"), 16_830, id="full, watermark downstream"),
        pytest.param(
            Variant(log="abc", dedupe="watermark", faults=Faults(1, 1, 1, 2, 2)), 57_496, id="full, more relay"
        ),
        pytest.param(CAS_ONLY, 71_050, id="compare-and-set only, no event sent twice"),
        pytest.param(Variant(relay="pipelined"), 46_842, id="pipelined relay, set downstream"),
    ],
)
def test_sound_in_every_reachable_state(variant: Variant, states: int) -> None:
    verdict = check(variant)
    assert (verdict.fault, verdict.trace) == (None, ())
    assert verdict.kinds == EVERY_KIND
    assert verdict.states == states


@pytest.mark.parametrize(
    ("variant", "deadly", "step", "fault"),
    [
        pytest.param(EPOCH_ONLY, {"answers": 1}, "commit, answer lost", "duplicate effect", id="epoch only"),
        pytest.param(PIPELINED, {"sends": 1}, "send fails", "row lost downstream", id="pipelined relay, watermark"),
    ],
)
def test_stands_everything_but_one_kind_of_fault(
    variant: Variant, deadly: dict[str, int], step: str, fault: str
) -> None:
    without = replace(variant, faults=Faults()._replace(**dict.fromkeys(deadly, 0)))
    assert check(without).fault is None
    verdict = check(replace(variant, faults=NONE._replace(**deadly)))
    assert verdict.fault == fault
    assert step in verdict.trace


@pytest.mark.parametrize(
    ("variant", "deadly", "step", "fault"),
    [
        pytest.param(NO_GUARD, {"steals": 1}, "steal", "duplicate effect", id="no guard, two owners"),
        pytest.param(NO_GUARD, {"answers": 1}, "commit, answer lost", "duplicate effect", id="no guard, lost answer"),
        pytest.param(CLASSIC, {"crashes": 1}, "crash", "duplicate effect", id="state, then offset"),
        pytest.param(OFFSET_FIRST, {"crashes": 1}, "crash", "lost effect", id="offset, then state"),
        pytest.param(
            MARKS_FIRST, {"relay_crashes": 1}, "relay crash", "row never published", id="marks before publish"
        ),
    ],
)
def test_sound_only_while_nothing_goes_wrong(variant: Variant, deadly: dict[str, int], step: str, fault: str) -> None:
    assert check(replace(variant, faults=NONE)).fault is None
    verdict = check(replace(variant, faults=NONE._replace(**deadly)))
    assert verdict.fault == fault
    assert step in verdict.trace


def test_without_an_inbox_an_event_sent_twice_counts_twice() -> None:
    verdict = check(Variant(inbox=False, faults=NONE))
    assert (verdict.fault, verdict.trace) == ("duplicate effect", ("claim", "commit", "commit", "commit"))
    assert check(Variant(log="abc", inbox=False)).fault is None


def test_an_inbox_alone_never_counts_twice_but_lets_the_offset_go_back() -> None:
    verdict = check(INBOX_ONLY)
    assert verdict.fault == "offset stuck"
    assert {"steal", "crash"} <= set(verdict.trace)
    assert check(INBOX_ONLY, tolerated="offset stuck").fault is None
    assert check(replace(INBOX_ONLY, faults=Faults(steals=0))).fault is None


def test_a_lost_answer_makes_the_rightful_owner_repeat_itself() -> None:
    verdict = check(replace(EPOCH_ONLY, faults=NONE._replace(answers=1)))
    assert verdict.trace == ("claim", "commit, answer lost", "commit")

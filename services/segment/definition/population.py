"""The numbers of the whole population that a definition needs, and how they are computed: the same in any order."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from services.segment.attributes.facts import quantile
from services.segment.definition.model import Definition
from services.segment.ladder import SCALE, millionths, share_thresholds


def cut_key(attribute: str, cut: Fraction) -> str:
    """The name of a threshold: `cut:revenue_365d:0.80`."""
    number = format(Decimal(cut.numerator) / Decimal(cut.denominator), "f")
    whole, _, decimals = number.partition(".")
    return f"cut:{attribute}:{whole}.{decimals.ljust(2, '0')}"


def needs(definition: Definition) -> frozenset[str]:
    """`mean:ATTRIBUTE` over values above zero, `median:ATTRIBUTE`, and `cut:ATTRIBUTE:SHARE` as names of numbers."""
    found: set[str] = set()
    for each in definition.rules:
        if each.rule is not None:
            found |= each.rule.expression.needs
    scale = definition.scale
    if scale is not None:
        found |= {*scale.attribute.needs, *(key for keys in scale.keys for key in keys)}
        if scale.default is not None:
            found |= scale.default.rule.expression.needs
    return frozenset(found)


def measured(needs: Iterable[str]) -> frozenset[str]:
    """The attributes whose values `population` must be given."""
    return frozenset(need.split(":")[1] for need in needs)


def population(values: Mapping[str, Sequence[float]], needs: Iterable[str]) -> dict[str, float]:
    """The numbers from the values of all customers (nulls left out); a number that has no value is absent."""
    falling = {name: sorted(values.get(name, ()), reverse=True) for name in measured(needs)}
    found: dict[str, float] = {}
    cuts: dict[str, list[tuple[str, Fraction]]] = {}
    for need in sorted(needs):
        kind, attribute, *share = need.split(":")
        if kind == "cut":
            cuts.setdefault(attribute, []).append((need, Fraction(share[0])))
            continue
        number = (_mean if kind == "mean" else _median)(falling[attribute])
        if number is not None:
            found[need] = number
    for attribute, wanted in cuts.items():
        thresholds = share_thresholds(falling[attribute], [share for _, share in wanted])
        found |= {need: value for (need, _), value in zip(wanted, thresholds, strict=True) if value is not None}
    return found


def _mean(values: Sequence[float]) -> float | None:
    positive = [millionths(value) for value in values if value > 0]
    return sum(positive) / (len(positive) * SCALE) if positive else None


def _median(falling: Sequence[float]) -> float | None:
    return quantile(falling[::-1], 0.5) if falling else None

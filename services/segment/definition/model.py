"""What a segmentation is: rules of which the first that holds wins, or a scale on which a value finds its class."""

from dataclasses import dataclass
from fractions import Fraction

from services.segment.attributes import Attribute, Population
from services.segment.ladder import Borders, Ladder
from services.segment.rules import Rule


@dataclass(frozen=True, slots=True)
class ClassRule:
    """A class and its condition; without one it takes everybody who is left."""

    name: str
    rule: Rule | None


@dataclass(frozen=True, slots=True)
class Default:
    """The class of those of whom too little is known to stand on the scale; the ladder starts afresh after it."""

    rule: Rule
    class_: str


@dataclass(frozen=True, slots=True)
class Scale:
    """A ladder or a share: `ladder.classes` from the lowest up, `texts` says in words what each class stands for.

    `fixed` are the borders of a ladder. A share has `cuts` instead, and takes its borders from the population numbers
    named by `keys` (plain, to move up, to move down; each from the lowest class up). `dwell` is part of `ladder`.
    """

    attribute: Attribute
    ladder: Ladder
    texts: tuple[str, ...]
    hysteresis: Fraction
    default: Default | None = None
    fixed: Borders | None = None
    cuts: tuple[Fraction, ...] = ()
    keys: tuple[tuple[str, ...], ...] = ()

    @property
    def closed_daily(self) -> bool:
        """Whether the close of each day looks at who drifted over a border, so that no timer has to wait for it."""
        return self.fixed is None or bool(self.attribute.needs)

    def borders(self, population: Population) -> Borders | None:
        """The borders in force; None while the population that a share needs is not known."""
        if self.fixed is not None:
            return self.fixed
        known = _borders.get(self.keys)
        if known is None or known[0] is not population:
            # A batch holds everybody against the same numbers: they are looked up once.
            known = _borders[self.keys] = (population, self._read(population))
        return known[1]

    def _read(self, population: Population) -> Borders | None:
        try:
            plain, up, down = (tuple([population[key] for key in keys]) for keys in self.keys)
        except KeyError:
            return None
        return Borders(plain, up, down)


_borders: dict[tuple[tuple[str, ...], ...], tuple[Population, Borders | None]] = {}


@dataclass(frozen=True, slots=True)
class Definition:
    """One segmentation. `kind` is rules, ladder or share; `classes` are in the order in which they were written."""

    name: str
    kind: str
    classes: tuple[str, ...]
    rules: tuple[ClassRule, ...] = ()
    scale: Scale | None = None
    description: str | None = None

"""Segmentations as values: read strictly from a document, classified for one customer at one moment, explained."""

from services.segment.definition.classify import Look, Result, classify
from services.segment.definition.model import ClassRule, Default, Definition, Scale
from services.segment.definition.parse import DefinitionError, parse, to_dict
from services.segment.definition.population import measured, needs, population
from services.segment.definition.reason import Reason, condition, left_by, why
from services.segment.ladder import Memory

__all__ = [
    "ClassRule",
    "Default",
    "Definition",
    "DefinitionError",
    "Look",
    "Memory",
    "Reason",
    "Result",
    "Scale",
    "classify",
    "condition",
    "left_by",
    "measured",
    "needs",
    "parse",
    "population",
    "to_dict",
    "why",
]

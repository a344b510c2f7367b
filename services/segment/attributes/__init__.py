"""What rules may ask about a customer: the catalogue of attributes, and the compact facts they are computed from."""

from services.segment.attributes.attribute import Attribute, Population, Type, Value, Varies
from services.segment.attributes.catalogue import CATALOGUE, dynamic
from services.segment.attributes.facts import Facts, facts_of
from services.segment.attributes.listing import describe, markdown

__all__ = [
    "CATALOGUE",
    "Attribute",
    "Facts",
    "Population",
    "Type",
    "Value",
    "Varies",
    "describe",
    "dynamic",
    "facts_of",
    "markdown",
]

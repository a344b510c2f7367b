"""The rule language: SQL conditions over the attributes of a customer, with the same answer in Python and in SQL."""

from services.segment.rules.errors import RuleError
from services.segment.rules.expression import Expression
from services.segment.rules.features import FEATURE_COLUMNS, feature_row
from services.segment.rules.parse import parse
from services.segment.rules.python import Rule, compile_python
from services.segment.rules.sql import SqlRule, compile_attribute, compile_sql, source

__all__ = [
    "FEATURE_COLUMNS",
    "Expression",
    "Rule",
    "RuleError",
    "SqlRule",
    "compile_attribute",
    "compile_python",
    "compile_sql",
    "feature_row",
    "parse",
    "source",
]

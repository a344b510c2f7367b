"""The web side of every service: keys, problems, pages, health, and the application that joins them."""

from shared.runtime.web.access import Scope, granted, needs
from shared.runtime.web.application import build
from shared.runtime.web.health import Check, CheckResult
from shared.runtime.web.pages import DEFAULT_LIMIT, Cursor, CursorText, Limit, Page, paged
from shared.runtime.web.parameters import exact_query
from shared.runtime.web.problems import INVALID_PARAMETER, Problem

__all__ = [
    "DEFAULT_LIMIT",
    "INVALID_PARAMETER",
    "Check",
    "CheckResult",
    "Cursor",
    "CursorText",
    "Limit",
    "Page",
    "Problem",
    "Scope",
    "build",
    "exact_query",
    "granted",
    "needs",
    "paged",
]

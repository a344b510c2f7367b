"""The web side of every service: keys, problems, pages, health, and the application that joins them."""

from shared.runtime.web.access import CHALLENGE, SECURITY, Scope, authorize, grant_of, granted, needs
from shared.runtime.web.application import build
from shared.runtime.web.health import Check, CheckResult
from shared.runtime.web.hotpath import Endpoint, hot
from shared.runtime.web.pages import DEFAULT_LIMIT, Cursor, CursorText, Limit, Page, paged
from shared.runtime.web.parameters import exact_query
from shared.runtime.web.problems import INVALID_PARAMETER, Problem, answer, of_any

__all__ = [
    "CHALLENGE",
    "DEFAULT_LIMIT",
    "INVALID_PARAMETER",
    "SECURITY",
    "Check",
    "CheckResult",
    "Cursor",
    "CursorText",
    "Endpoint",
    "Limit",
    "Page",
    "Problem",
    "Scope",
    "answer",
    "authorize",
    "build",
    "exact_query",
    "grant_of",
    "granted",
    "hot",
    "needs",
    "of_any",
    "paged",
]

"""The web side of every service: keys, problems, pages, health, and the application that joins them."""

from shared.runtime.web.access import Scope, granted, needs
from shared.runtime.web.application import build
from shared.runtime.web.health import Check, CheckResult
from shared.runtime.web.pages import DEFAULT_LIMIT, Cursor, CursorText, Limit, Page, paged
from shared.runtime.web.problems import Problem

__all__ = [
    "DEFAULT_LIMIT",
    "Check",
    "CheckResult",
    "Cursor",
    "CursorText",
    "Limit",
    "Page",
    "Problem",
    "Scope",
    "build",
    "granted",
    "needs",
    "paged",
]

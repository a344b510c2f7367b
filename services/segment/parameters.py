"""Query parameters are refused when they are unknown: a misspelt one must not be answered as if it were absent."""

from fastapi import Request

from shared.runtime.web import Problem

LARGEST = 2**63 - 1


def known_parameters(request: Request) -> None:
    """To be a dependency of a router. Raises Problem 422 with every parameter that the path does not know."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        told = f"known are {', '.join(sorted(known))}" if known else "there are none here"
        faults = [{"detail": f"unknown; {told}", "in": "query", "parameter": name} for name in unknown]
        raise Problem(422, "invalid", f"unknown parameter {', '.join(unknown)}", faults)


def place(parts: tuple[int, ...] | None) -> int:
    """The place in a list that a cursor names, 0 without one. Raises Problem 400 for one that no list has."""
    number = parts[0] if parts else 0
    if not 0 <= number <= LARGEST:
        fault = {"detail": "not a cursor of this list", "parameter": "cursor"}
        raise Problem(400, "invalid_cursor", "the cursor was not given by this list", [fault])
    return number

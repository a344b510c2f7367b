"""The parameters of a look-up: none is passed over in silence, because the answer would be that to another question."""

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute

from shared.runtime.web.problems import INVALID_PARAMETER, Problem


async def exact_query(request: Request) -> None:
    """A dependency of lists and look-ups: refuses parameters that the endpoint does not have, and repeated ones."""
    route = request.scope["route"]
    assert isinstance(route, APIRoute)
    known = {field.alias for field in get_flat_params(route.dependant)} - request.path_params.keys()
    names = [name for name, _ in request.query_params.multi_items()]
    wrong = {name: "is no parameter of this path" for name in names if name not in known}
    wrong |= {name: "stands more than once" for name in names if name in known and names.count(name) > 1}
    if wrong:
        faults = [{"detail": detail, "parameter": name[:100]} for name, detail in wrong.items()]
        there = f"; there are {', '.join(sorted(known))}" if known else ""
        shown = ", ".join(fault["parameter"] for fault in faults)
        raise Problem(400, INVALID_PARAMETER, f"these parameters cannot be used: {shown}{there}", faults)

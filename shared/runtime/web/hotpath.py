"""Hot endpoints: the router's own functions, reached by their exact path ahead of the framework's routing.

Finding a route and its dependencies costs several times what it takes to accept an event. The endpoint is the same
function either way, so the OpenAPI entry, the answers and the errors are the same.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]
Table = Mapping[tuple[str, str], APIRoute]

_MARK = "is_hot"


def hot(endpoint: Endpoint) -> Endpoint:
    """Mark an endpoint that takes the bare request, checks the key itself and gives a finished response."""
    setattr(endpoint, _MARK, True)
    return endpoint


def table(routers: Iterable[APIRouter]) -> Table:
    """The marked endpoints of routers, by method and path."""
    return {
        (method, route.path): route
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and getattr(route.endpoint, _MARK, False)
        for method in route.methods or ()
    }


async def serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request with the endpoint in `scope["route"]`."""
    response: Response = await scope["route"].endpoint(Request(scope, receive))
    await response(scope, receive, send)

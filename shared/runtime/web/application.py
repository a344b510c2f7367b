"""The web application of one process: routers, health, and one form of error for all of them."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.types import Receive, Scope, Send

from shared.runtime.web import docs, health, hotpath
from shared.runtime.web.frame import Frame
from shared.runtime.web.health import Check
from shared.runtime.web.problems import MEDIA_TYPE, install
from shared.security import Keys
from shared.telemetry import Metrics

_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457). `code` is stable, `message` is for people.",
    "required": ["type", "title", "status", "code", "message"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "message": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "detail": {"type": "string"},
                    "code": {"type": "string"},
                    "pointer": {"type": "string", "description": "JSON Pointer into the body."},
                    "parameter": {"type": "string", "description": "Name of a parameter or header."},
                },
            },
        },
    },
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem (RFC 9457)",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}

_TAGS = [
    {"name": "ingest", "description": "Events in, and the desk at which rejected ones are repaired and replayed."},
    {"name": "profile", "description": "The live record of each customer, and what people state about him."},
    {"name": "health", "description": "Whether it runs, whether it can do its work, and how much it did."},
]

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


_serve_hot = Frame(hotpath.serve)


class _Application(FastAPI):
    """FastAPI with hot endpoints ahead of it, whose OpenAPI document declares the problem in place of its own error."""

    hot_paths: hotpath.Table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        route = self.hot_paths.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        scope["route"] = route
        await _serve_hot(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            schemas = super().openapi().setdefault("components", {}).setdefault("schemas", {})
            schemas["Problem"] = _PROBLEM
        return super().openapi()


def build(
    title: str,
    routers: Iterable[APIRouter],
    keys: Keys,
    checks: Mapping[str, Check],
    metrics: Metrics,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """An application with its routers, `/health/…`, `/metrics`, `/openapi.json` and `/docs`."""
    routers = tuple(routers)
    app = _Application(
        title=title,
        version=metrics.version,
        responses=_RESPONSES,
        redirect_slashes=False,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_tags=_TAGS,
    )
    app.state.keys = keys
    app.hot_paths = hotpath.table(routers)
    install(app)
    app.add_middleware(Frame)
    app.include_router(health.router(title, checks, metrics))
    app.include_router(docs.router(title))
    for router in routers:
        app.include_router(router)
    return app

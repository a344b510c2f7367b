"""`/docs`: the OpenAPI document as a page to read and try. All of it comes from here: it works without the internet."""

from functools import cache
from html import escape
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#page", deepLinking: true, filter: true, displayRequestDuration: true,
  docExpansion: "list", defaultModelsExpandDepth: 0, persistAuthorization: false, validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis], layout: "BaseLayout"
});
"""


def router(title: str) -> APIRouter:
    """The page, and what it is made of: Swagger UI as the package `fastapi-swagger` ships it."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    def page() -> Response:
        text = _PAGE.format(title=escape(title))
        return HTMLResponse(text, headers={"Content-Security-Policy": _POLICY})

    @routes.get("/docs/start.js")
    def start() -> Response:
        return Response(_START, media_type="text/javascript")

    for name, media in _ASSETS.items():
        _add_asset(routes, name, media)
    return routes


def _add_asset(routes: APIRouter, name: str, media: str) -> None:
    @routes.get(f"/docs/{name}")
    def asset() -> Response:
        return Response(_asset(name), headers={"Cache-Control": "public, max-age=86400"}, media_type=media)


@cache
def _asset(name: str) -> bytes:
    return files("fastapi_swagger.resources").joinpath(name).read_bytes()

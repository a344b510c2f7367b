"""The small public pages: plain HTML that every phone shows, no script, nothing that is not asked for."""

from html import escape

from fastapi.responses import HTMLResponse

NO_INDEX = {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex", "Cache-Control": "no-store"}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body{{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}
button{{font:inherit;padding:.5rem 1.2rem}}label{{margin-right:.8rem}}textarea{{font:inherit;width:100%}}</style>
</head><body><h1>{title}</h1>
{body}
</body></html>
"""


def page(title: str, body: str, status: int = 200) -> HTMLResponse:
    """A page; `body` is finished HTML, the title is text."""
    return HTMLResponse(_PAGE.format(title=escape(title), body=body), status, NO_INDEX)


def said(title: str, text: str, status: int = 200) -> HTMLResponse:
    """A page that only says something."""
    return page(title, f"<p>{escape(text)}</p>", status)


def unknown_link() -> HTMLResponse:
    """The answer to a token that is not ours."""
    return said("This link is not valid", "Please use the link exactly as it stands in the message.", 404)

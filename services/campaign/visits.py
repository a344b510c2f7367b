"""What comes back from messages without a key: followed links and answered surveys."""

import re
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from services.campaign.announcement import interaction
from services.campaign.clicks import Click, read_click
from services.campaign.model import Message, View
from services.campaign.pages import NO_INDEX, page, said, unknown_link
from services.campaign.present import present
from services.campaign.preview import customer_of
from services.campaign.store import load_messages
from services.campaign.surveys import Survey, answer, form, read_survey
from shared.errors import Unavailable
from shared.events.envelope import canonical, derived_id, raw
from shared.events.storable import unstorable
from shared.runtime.service import Context
from shared.telemetry import logger

_MACHINE = re.compile(r"bot\b|crawl|spider|slurp|preview|scan|headless", re.I)
_AHEAD = ("sec-purpose", "purpose", "x-purpose", "x-moz")


class _Case(NamedTuple):
    message: Message
    view: View


def click_paths(routes: APIRouter, context: Context, secret: bytes) -> None:
    """`/c/{token}`: on to where the link leads; what machines fetch is no click."""

    @routes.get("/c/{token}", status_code=302, response_class=RedirectResponse, summary="Follow a link of a message")
    async def follow(token: str, request: Request) -> Response:
        click = read_click(secret, token)
        if click is None:
            return unknown_link()
        if not _by_machine(request):
            try:
                await _clicked(context, click)
            except Unavailable:
                # whoever follows a link shall get there, counted or not
                logger().warning("click_not_counted", service="campaign")
        return RedirectResponse(click.url, 302, NO_INDEX)

    @routes.head("/c/{token}", include_in_schema=False)
    def look(token: str) -> Response:
        click = read_click(secret, token)
        return unknown_link() if click is None else RedirectResponse(click.url, 302, NO_INDEX)


def survey_paths(routes: APIRouter, context: Context, secret: bytes) -> None:
    """`/s/{token}`: a small form; looking changes nothing, sending the same answer again neither."""

    @routes.get("/s/{token}", response_class=HTMLResponse, summary="The form of a survey")
    def ask(token: str) -> HTMLResponse:
        survey = read_survey(secret, token)
        return unknown_link() if survey is None else page("Tell us", form(survey.name))

    @routes.post("/s/{token}", response_class=HTMLResponse, summary="Answer a survey")
    async def answered(token: str, request: Request) -> HTMLResponse:
        survey = read_survey(secret, token)
        if survey is None:
            return unknown_link()
        async with request.form(max_files=0, max_fields=10) as fields:
            given = _texts(fields)
        try:
            data = answer(survey.name, given)
        except ValueError as error:
            return said("Please look again", str(error), 422)
        if next(unstorable(data), None) is not None:
            return said("Please look again", "The comment has characters that cannot be kept.", 422)
        await _answered(context, survey, data)
        return said("Thank you", "Your answer has been received.")


def _by_machine(request: Request) -> bool:
    agent = request.headers.get("user-agent", "")
    ahead = any("pre" in request.headers.get(name, "").lower() for name in _AHEAD)
    return ahead or _MACHINE.search(agent) is not None


def _texts(fields: FormData) -> dict[str, str]:
    return {name: value for name, value in fields.items() if isinstance(value, str)}


async def _clicked(context: Context, click: Click) -> None:
    data: dict[str, object] = {"link_url": click.url}
    name = derived_id(f"click/{click.message_id}", click.url)
    await _append(context, click.message_id, "email.clicked", name, data)


async def _answered(context: Context, survey: Survey, data: dict[str, object]) -> None:
    content = bytes(raw(canonical(data))).decode()
    name = derived_id(f"survey/{survey.message_id}/{survey.name}", content)
    await _append(context, survey.message_id, "survey.answered", name, data)


async def _append(context: Context, message_id: str, kind: str, name: str, data: dict[str, object]) -> None:
    """Say what the customer of a message did; nothing when he is gone. Saying it again is the same event."""
    case = await run_in_threadpool(_case, context, message_id)
    if case is None:
        return
    about = {"message_id": message_id, "campaign": case.message.campaign, **data}
    event = interaction(case.view, kind, name, await present(context), about, context.clock())
    if event is not None:
        await context.log.append([event])


def _case(context: Context, message_id: str) -> _Case | None:
    with context.engine.connect() as connection:
        message = load_messages(connection, [message_id]).get(message_id)
        customer = customer_of(connection, message.profile_id) if message else None
    return None if message is None or customer is None or customer.view is None else _Case(message, customer.view)

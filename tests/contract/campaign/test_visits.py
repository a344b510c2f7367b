"""Followed links and answered surveys, without a key: what counts, once, and what does not."""

import re
from datetime import timedelta
from email import policy as policies
from email.parser import BytesParser
from typing import Any

import httpx
import pytest

from shared.events.envelope import Event
from shared.events.interactions import DECODERS
from shared.events.outgoing import remove
from shared.events.profiles import Removal
from shared.log import Record
from tests.contract.campaign.house import NOON, House, change_of, files, name_of, put, record_of, said_to_log

TEMPLATE = {
    "template": "welcome",
    "email": {
        "subject": "s",
        "text": "https://shop.example/t {{ 'https://shop.example/m' | tracked }} {{ survey_urls.nps }}",
        "html": '<a href="https://shop.example/h?a=1&amp;b={{ customer.traits.name | url_encode }}">x</a>'
        '<a href="{{ unsubscribe_url }}">y</a><a href="{{ customer.traits.site | default: "" }}">z</a>',
    },
}
PERSON = {"User-Agent": "Mozilla/5.0", "Authorization": ""}


def mail(house: House, **given: Any) -> tuple[str, str]:
    """The text and the HTML of the one mail that is sent."""
    house.apply(record_of(**given), change_of())
    house.send()
    found = BytesParser(policy=policies.default).parsebytes(files(house)[0].read_bytes())
    parts = [found.get_body((kind,)) for kind in ("plain", "html")]
    text, html = (part.get_content() if part else "" for part in parts)
    return text, html


def paths(text: str, prefix: str) -> list[str]:
    return re.findall(rf"https://e\.example(/{prefix}/[\w-]+)", text)


async def said(house: House, kind: str) -> list[Event]:
    return [event for event in await said_to_log(house) if event.type == kind]


async def test_a_followed_link_counts_once_and_leads_where_the_template_led(
    house: House, web: httpx.AsyncClient
) -> None:
    put(house, "template", TEMPLATE)
    text, html = mail(house, traits={"name": "Ana Ñ", "site": "https://evil.example/"})
    assert "https://shop.example/t " in text
    assert 'href="https://evil.example/"' in html
    (in_text,), (in_html,) = paths(text, "c"), paths(html, "c")
    assert (await web.head(in_html, headers=PERSON)).status_code == 302
    for ahead in ({"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}, {"User-Agent": "Googlebot/2.1"}):
        assert (await web.get(in_html, headers=PERSON | ahead)).status_code == 302
    assert await said(house, "email.clicked") == []
    for _ in range(2):
        answer = await web.get(in_html, headers=PERSON)
        assert (answer.status_code, answer.headers["location"]) == (302, "https://shop.example/h?a=1&b=Ana+%C3%91")
        house.now += timedelta(minutes=1)
    first, second = await said(house, "email.clicked")
    assert (first.id, first.fingerprint) == (second.id, second.fingerprint)
    payload: Any = DECODERS["email.clicked"].decode(first.data)
    assert (payload.customer, payload.campaign) == ({"customer_id": "C1"}, "welcome")
    assert payload.link_url == "https://shop.example/h?a=1&b=Ana+%C3%91"
    assert payload.message_id == files(house)[0].stem
    await web.get(in_text, headers=PERSON)
    assert (await said(house, "email.clicked"))[2].id != first.id


async def test_links_that_are_not_ours_lead_nowhere(house: House, web: httpx.AsyncClient) -> None:
    put(house, "template", TEMPLATE)
    _, html = mail(house)
    (path,) = paths(html, "c")
    survey = "/s/" + path.removeprefix("/c/")
    for answer in (await web.get(f"{path}A"), await web.get("/c/x"), await web.head("/c/x"), await web.get(survey)):
        assert answer.status_code == 404
    assert await said(house, "email.clicked") == []


async def test_links_are_left_alone_when_the_company_says_so(house: House, web: httpx.AsyncClient) -> None:
    put(house, "template", TEMPLATE)
    assert (await web.put("/v1/settings", json={"track_clicks": False})).status_code == 200
    text, html = mail(house)
    assert paths(html, "c") == []
    assert len(paths(text, "c")) == 1


async def test_a_link_of_an_erased_customer_leads_on_and_says_nothing(house: House, web: httpx.AsyncClient) -> None:
    put(house, "template", TEMPLATE)
    _, html = mail(house)
    gone = remove(Removal(profile_id=name_of(1), reason="erasure", version=2, time=NOON))
    house.apply(Record("profiles", 0, 9, 0, gone.key, None, gone.headers))
    assert (await web.get(paths(html, "c")[0], headers=PERSON)).status_code == 302
    assert await said(house, "email.clicked") == []


async def test_a_survey_is_asked_and_answered(house: House, web: httpx.AsyncClient) -> None:
    put(house, "template", TEMPLATE)
    (path,) = paths(mail(house)[0], "s")
    page = await web.get(path, headers=PERSON)
    assert (page.status_code, page.text.count('type="radio"')) == (200, 11)
    assert await said(house, "survey.answered") == []
    for _ in range(2):
        answer = await web.post(path, data={"score": "9", "comment": "schön"}, headers=PERSON)
        assert (answer.status_code, "Thank you" in answer.text) == (200, True)
        house.now += timedelta(minutes=1)
    first, again = await said(house, "survey.answered")
    assert (first.id, first.fingerprint) == (again.id, again.fingerprint)
    payload: Any = DECODERS["survey.answered"].decode(first.data)
    assert (payload.survey, payload.score, payload.comment) == ("nps", 9, "schön")
    await web.post(path, data={"score": "3"}, headers=PERSON)
    assert (await said(house, "survey.answered"))[2].id != first.id


@pytest.mark.parametrize("data", [{}, {"score": "11"}, {"score": "5", "comment": "a\0b"}])
async def test_an_answer_that_is_none_is_told_kindly(
    house: House, web: httpx.AsyncClient, data: dict[str, str]
) -> None:
    put(house, "template", TEMPLATE)
    (path,) = paths(mail(house)[0], "s")
    answer = await web.post(path, data=data, headers=PERSON)
    assert (answer.status_code, "Please look again" in answer.text) == (422, True)
    assert await said(house, "survey.answered") == []


async def test_previews_show_links_as_they_are(house: House, web: httpx.AsyncClient) -> None:
    put(house, "template", TEMPLATE)
    house.apply(record_of(), change_of())
    shown = (await web.post("/v1/campaigns/welcome/preview", json={"profile_id": name_of(1)})).json()
    assert shown["rendered"]["email"]["text"].startswith("https://shop.example/t https://shop.example/m https://")
    assert 'href="https://shop.example/h?' in shown["rendered"]["email"]["html"]

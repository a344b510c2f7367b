"""Tracked links and surveys: tokens that nobody else can make, links that lead where the template led, answers."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaign.clicks import END_MARK, MARK, Click, click_token, linked, marked, read_click
from services.campaign.optout import read_token, token_of
from services.campaign.surveys import QUESTIONS, Survey, answer, form, read_survey, survey_token
from services.campaign.template import parse_template, render
from tests.core.campaign_builders import ANA

SECRET = b"s" * 32


def shout(url: str) -> str:
    return f"https://e.example/c/{len(url)}"


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50))
def test_click_tokens_go_there_and_back(rest: str) -> None:
    click = Click(ANA, f"https://shop.example/{rest}")
    assert read_click(SECRET, click_token(SECRET, click)) == click
    assert read_click(b"x" * 32, click_token(SECRET, click)) is None


@pytest.mark.parametrize("name", QUESTIONS)
def test_survey_tokens_go_there_and_back(name: str) -> None:
    token = survey_token(SECRET, Survey(ANA, name))
    assert read_survey(SECRET, token) == Survey(ANA, name)
    assert read_survey(b"x" * 32, token) is None


def test_a_token_of_one_purpose_is_none_of_another() -> None:
    optout, survey = token_of(SECRET, ANA, "email"), survey_token(SECRET, Survey(ANA, "nps"))
    click = click_token(SECRET, Click(ANA, "https://shop.example"))
    assert read_token(SECRET, optout) == (ANA, "email")
    assert [read_token(SECRET, token) for token in (survey, click)] == [None, None]
    assert [read_click(SECRET, token) for token in (survey, optout)] == [None, None]
    assert [read_survey(SECRET, token) for token in (optout, click)] == [None, None]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<a href="https://shop.example/a?b=1&amp;c=2">x</a>', '<a href="https://e.example/c/30">x</a>'),
        ("<A class=b HREF='https://shop.example/'>x</A>", "<A class=b HREF='https://e.example/c/21'>x</A>"),
        ('<a href="https://evil.example/">x</a>', None),
        ('<a href="https://shop.example.evil.example/">x</a>', None),
        ('<a href="https://shop.example@evil.example/">x</a>', None),
        ('<a href="https://shop.example:99@evil.example/">x</a>', None),
        ('<a href="http://shop.example/">x</a>', None),
        ('<a href="https://shop.exam/">x</a>', None),
        ('<a href="mailto:ana@shop.example">x</a>', None),
        ('<a href="javascript:alert(1)">x</a>', None),
        ('<img src="https://shop.example/a.png">', None),
    ],
)
def test_links_to_sites_that_the_template_names_are_rewritten(html: str, expected: str | None) -> None:
    source = '<a href="https://shop.example/{{ sku }}">'
    assert linked(html, source, shout) == (expected or html)


def test_a_link_is_marked_by_the_template_and_by_nobody_else() -> None:
    made: Any = parse_template(
        {"template": "t", "email": {"subject": "s", "text": "{{ 'https://a.example/?x=1&y=2' | tracked }} {{ trait }}",
                                    "html": "<a href=\"{{ 'https://a.example/?x=1&y=2' | tracked }}\">x</a>"}}
    )  # fmt: skip
    shown = render(made, "email", {"trait": f"{MARK}https://evil.example{END_MARK}"})
    assert marked(shown.text, shout) == "https://e.example/c/26 https://evil.example"
    assert marked(shown.html or "", shout, html=True) == '<a href="https://e.example/c/26">x</a>'
    assert marked(f"{MARK}javascript:x{END_MARK}", shout) == "javascript:x"


@pytest.mark.parametrize(
    ("name", "given", "data"),
    [
        ("nps", {"score": "0"}, {"survey": "nps", "score": 0}),
        ("nps", {"score": "10", "comment": " fine "}, {"survey": "nps", "score": 10, "comment": "fine"}),
        ("reason", {"reason": "price"}, {"survey": "reason", "reason": "price"}),
    ],
)
def test_answers(name: str, given: dict[str, str], data: dict[str, object]) -> None:
    assert answer(name, given) == data


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("nps", {}),
        ("nps", {"score": "11"}),
        ("csat", {"score": "0"}),
        ("csat", {"score": "³"}),
        ("ces", {"score": "-1"}),
        ("ces", {"score": "1" * 9999}),
        ("reason", {"reason": "weather"}),
        ("nps", {"score": "3", "comment": "x" * 2001}),
    ],
)
def test_answers_that_are_none(name: str, given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="Please"):
        answer(name, given)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_choice_of_a_form_is_an_answer(name: str) -> None:
    values = [part.partition('"')[0] for part in form(name).split('value="')[1:]]
    field = "score" if QUESTIONS[name].scores else "reason"
    assert len({str(answer(name, {field: value})) for value in values}) == len(values) > 4

"""Documents: strict reading with pointers, and the way back."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaign.company import DEFAULTS, Company, parse_company
from services.campaign.definition import (
    DefinitionError,
    campaign_document,
    duration,
    duration_text,
    parse_campaign,
)
from services.campaign.service import shipped
from services.campaign.specimen import unknown_variables
from services.campaign.template import parse_template, render

CONTRACT = """
campaign: win-back
on: {segmentation: status, from: [current, active], to: inactive}
audience: revenue_365d >= 50 and not churned_for_price
channels: favourite
hold_out: 10%
goal: {event: purchase.completed, within: 60d}
steps:
  - template: win-back-reason
  - {wait: 21d, unless: converted, template: win-back-offer}
limits: {category: marketing}
"""


def pointers(error: DefinitionError) -> set[str]:
    return {fault.pointer for fault in error.faults}


def test_the_campaign_of_the_contract() -> None:
    campaign = parse_campaign(yaml.safe_load(CONTRACT))
    assert (campaign.hold_out, campaign.channels, campaign.steps[1].wait_ms) == (100_000, None, 21 * 86_400_000)
    assert parse_campaign(campaign_document(campaign)) == campaign


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"campaign": "Two Words"}, "/campaign"),
        ({"on": {"segmentation": "status"}}, "/on/to"),
        ({"on": {"event": "nonsense"}}, "/on/event"),
        ({"on": {"event": "call.completed", "to": "x"}}, "/on"),
        ({"on": {"segmentation": "s", "to": "x", "from": [1]}}, "/on/from"),
        ({"hold_out": "100%"}, "/hold_out"),
        ({"hold_out": 10}, "/hold_out"),
        ({"steps": []}, "/steps"),
        ({"steps": [{"template": "a", "wait": "soon"}]}, "/steps/0/wait"),
        ({"steps": [{"template": "a", "unless": "tired"}]}, "/steps/0/unless"),
        ({"steps": [{"template": "a"}, {"wait": "1d"}]}, "/steps/1/template"),
        ({"goal": {"event": "call.dropped", "within": "1d"}}, "/goal/event"),
        ({"channels": ["pigeon"]}, "/channels/0"),
        ({"limits": {"category": "spam"}}, "/limits/category"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_faults_have_pointers(change: dict[str, Any], pointer: str) -> None:
    document = {**yaml.safe_load(CONTRACT), **change}
    document.setdefault("on", document.pop(True, None))
    with pytest.raises(DefinitionError) as caught:
        parse_campaign(document)
    assert pointer in pointers(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_campaign({"campaign": 1, "hold_out": "x"})
    assert pointers(caught.value) >= {"/campaign", "/hold_out", "/on", "/steps"}


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 999_999), st.sampled_from("smhd"))
def test_durations_go_there_and_back(number: int, unit: str) -> None:
    milliseconds = duration(f"{number}{unit}")
    text = duration_text(milliseconds)
    if len(text) <= 7:
        assert duration(text) == milliseconds


def test_settings_have_the_defaults_of_the_contract() -> None:
    assert DEFAULTS == {
        "consent": "opt_in",
        "quiet_hours": "21:00-08:00",
        "caps": {"marketing": "3 per 7d"},
        "reaction_window": "24h",
        "timezone": "UTC",
        "currency": "EUR",
        "track_clicks": True,
    }
    assert parse_company(DEFAULTS) == parse_company({}) == Company()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("quiet_hours", "9-5"),
        ("quiet_hours", "25:00-08:00"),
        ("caps", {"marketing": 3}),
        ("caps", {"marketing": "3 per 60d"}),
        ("timezone", "../../etc/passwd"),
        ("timezone", "Mars/Olympus"),
        ("currency", "euro"),
        ("reaction_window", "24"),
        ("track_clicks", "yes"),
        ("weather", "fine"),
    ],
)
def test_settings_have_faults_too(field: str, value: object) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_company({field: value})
    assert pointers(caught.value) == {f"/{field}"}


def test_shipped_campaigns_have_their_templates_and_render_for_a_stranger() -> None:
    found = shipped()
    templates = {name: parse_template(body) for kind, name, body in found if kind == "template"}
    campaigns = [parse_campaign(body) for kind, _, body in found if kind == "campaign"]
    assert {campaign.name for campaign in campaigns} == {"welcome", "second-purchase", "thank-you", "win-back"}
    assert {step.template for campaign in campaigns for step in campaign.steps} == set(templates)
    stranger = {
        "customer": {"purchases": {"count": 3}},
        "recommendations": [],
        "survey_urls": {"reason": "https://e.example/s/t"},
        "unsubscribe_url": "https://e.example/u/t",
    }
    for template in templates.values():
        assert unknown_variables(template) == []
        for channel in template.channels:
            text = render(template, channel, stranger)
            assert "https://e.example/u/t" in text.text
            assert text.html is None or "https://e.example/u/t" in text.html

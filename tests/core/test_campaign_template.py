"""Templates: missing variables stop a message, and hostile templates cost little and reach nothing."""

import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

from services.campaign.definition import DefinitionError
from services.campaign.template import MAX, TemplateError, parse_template, render, template_document

CUSTOMER: dict[str, Any] = {"customer": {"name": "Ana <b>", "traits": [1, 2], "long": "x" * 2000}}


def template(text: str, html: str | None = None) -> Any:
    email = {"subject": "s", "text": text}
    return parse_template({"template": "t", "email": email if html is None else {**email, "html": html}})


def text_of(text: str, data: dict[str, Any] | None = None) -> str:
    return render(template(text), "email", data if data is not None else CUSTOMER).text


def test_texts_are_plain_and_html_is_escaped() -> None:
    shown = render(template("{{ customer.name }}", "<p>{{ customer.name }}</p>"), "email", CUSTOMER)
    assert (shown.text, shown.html) == ("Ana <b>", "<p>Ana &lt;b&gt;</p>")


def test_a_missing_variable_stops_the_message() -> None:
    with pytest.raises(TemplateError, match=r"template_error: .*nickname"):
        text_of("{{ customer.nickname }}")
    assert text_of('{{ customer.nickname | default: "you" }}') == "you"


def test_a_template_may_decide_not_to_be_sent() -> None:
    with pytest.raises(TemplateError, match="aborted: no stock"):
        text_of("{% abort_message('no stock') %}")
    assert text_of("{% if 1 == 2 %}{% abort_message %}{% endif %}x") == "x"


def test_subjects_are_one_line() -> None:
    made = parse_template({"template": "t", "email": {"subject": "a\r\nBcc: x@y.z {{ customer.name }}", "text": "t"}})
    assert render(made, "email", {"customer": {"name": "b\n\u2028c\x1d"}}).subject == "a Bcc: x@y.z b c"


def test_trusted_markup_is_not_trusted() -> None:
    shown = render(template("t", "{{ customer.name }}"), "email", {"customer": {"name": Markup("<i>")}})
    assert shown.html == "&lt;i&gt;"


def test_documents_go_there_and_back() -> None:
    made = parse_template({"template": "t", "category": "service", "sms": {"text": "hi"}, "webhook": {"text": "{}"}})
    assert parse_template(template_document(made)) == made


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"template": "t"}, ""),
        ({"template": "T T", "sms": {"text": "x"}}, "/template"),
        ({"template": "t", "email": {"text": "x"}}, "/email"),
        ({"template": "t", "sms": {"text": "{% if %}"}}, "/sms/text"),
        ({"template": "t", "sms": {"text": "{% nonsense %}"}}, "/sms/text"),
        ({"template": "t", "sms": {"text": "x", "html": "x"}}, "/sms/html"),
        ({"template": "t", "sms": {"text": 3}}, "/sms/text"),
        ({"template": "t", "category": "x", "sms": {"text": "x"}}, "/category"),
    ],
)
def test_faults_have_pointers(document: dict[str, Any], pointer: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_template(document)
    assert pointer in {fault.pointer for fault in caught.value.faults}


HOSTILE = [
    "{% for a in (1..1000) %}{% for b in (1..1000) %}x{% endfor %}{% endfor %}",
    "{% assign s = customer.long %}" + "{% assign s = s | append: s %}" * 40 + "{{ s }}",
    "{% assign s = customer.long | replace: 'x', customer.long %}{{ s | replace: 'x', customer.long }}",
    "{% assign s = customer.long %}" + "{% assign s = s | replace: '', s %}" * 5 + "{{ s }}",
    "{% assign a = customer.long | split: '' %}{{ a | join: customer.long }}",
    "{% capture s %}{% for a in (1..1000) %}{{ customer.long }}{% endfor %}{% endcapture %}{{ s }}",
    "{{ '1e999' | ceil }}",
    "{{ customer.long | times: 99999999999999999999 }}",
    "{{ '9' | append: customer.long | plus: 1 }}",
    "{{ 'ÿ' | base64_decode }}",
    "{% include 'secret' %}",
    "{% render 'secret' %}",
    "{{ customer.__class__.__mro__ }}",
    "{{ customer.name.__class__ }}",
    "{{ customer['__init__']['__globals__'] }}",
    "{{ ''.__class__.__base__.__subclasses__ }}",
    "{% tablerow a in (1..1000000) %}x{% endtablerow %}",
    "{{ 'x' | pad: 1000000000 }}",
    "{{ customer.long | truncate: 999999999999 | upcase | downcase }}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_templates_end_soon_in_little_or_an_error(text: str) -> None:
    started = time.perf_counter()
    try:
        shown = text_of(text)
    except (DefinitionError, TemplateError):
        shown = ""
    assert time.perf_counter() - started < 2
    assert len(shown) <= 2 * MAX
    assert "object" not in shown
    assert "globals" not in shown


@pytest.mark.parametrize("filter_", ["replace: 'x', customer.long", "split: '' | join: customer.long"])
def test_filters_are_bounded_before_they_allocate(filter_: str) -> None:
    made = template("{{ customer.long | " + filter_ + " }}")
    tracemalloc.start()
    with pytest.raises(TemplateError, match="result too large"):
        render(made, "email", {"customer": {"long": "x" * 8000}})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000


def test_nothing_switches_escaping_off() -> None:
    with pytest.raises(TemplateError, match="safe"):
        render(template("t", "{{ customer.name | safe }}"), "email", CUSTOMER)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60), st.text(st.characters(exclude_characters="\r"), max_size=20))
def test_any_text_renders_or_is_refused(text: str, name: str) -> None:
    try:
        shown = text_of("{{ customer.name }}" + text, {"customer": {"name": name}})
    except (DefinitionError, TemplateError):
        return
    assert shown.startswith(name) or "{" in text

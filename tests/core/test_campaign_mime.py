"""Mails as bytes: read back by an independent parser, and nothing can be smuggled into a header."""

import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from email import policy as policies
from email.message import EmailMessage
from email.parser import BytesParser

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from services.campaign.mime import HeaderError, Mail, header_text, mime, sender_of
from services.campaign.optout import read_token, token_of
from shared.events.envelope import derived_id

SENDER = sender_of("Cartera, S.L. <hello@shop.example>")
MOMENT = datetime(2026, 5, 25, 9, 15, tzinfo=UTC)
NAME = "0056b8f5-5ed5-5d4a-9df7-2c72f97c321c"


def mail(subject: str = "Hello", text: str = "Hi", html: str | None = None, url: str | None = None) -> bytes:
    return mime(Mail(NAME, "ana@example.com", subject, text, html, MOMENT, url), SENDER)


def parsed(content: bytes) -> EmailMessage:
    message = BytesParser(EmailMessage, policy=policies.default).parsebytes(content)
    assert isinstance(message, EmailMessage)
    return message


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def test_the_headers() -> None:
    message = parsed(mail(url="https://e.example/u/abc"))
    assert message["from"] == '"Cartera, S.L." <hello@shop.example>'
    assert message["to"] == "ana@example.com"
    assert message["message-id"] == f"<{NAME}@shop.example>"
    assert message["date"].datetime == MOMENT
    assert message["list-unsubscribe"] == "<https://e.example/u/abc>"
    assert message["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert not message.defects


def test_service_mails_have_no_unsubscribe_headers() -> None:
    assert parsed(mail())["list-unsubscribe"] is None


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")) | st.just("\n"), max_size=300)


@settings(max_examples=200, deadline=None)
@given(TEXT.map(lambda text: " ".join(text.split())), TEXT, st.none() | TEXT)
def test_what_is_written_is_what_is_read(subject: str, text: str, html: str | None) -> None:
    content = mail(subject, text, html)
    message = parsed(content)
    assert message["subject"] == subject
    assert part(message, "plain").rstrip("\n") == text.rstrip("\n")
    if html is not None:
        assert part(message, "html").rstrip("\n") == html.rstrip("\n")
    assert all(len(line) <= 998 for line in content.split(b"\r\n"))
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert [name.lower() for name in message].count("subject") == 1


def test_long_lines_are_packed() -> None:
    content = mail(text="x" * 5000)
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert part(parsed(content), "plain").strip() == "x" * 5000


def test_a_text_cannot_end_its_own_part() -> None:
    attack = f"a\r\n--=_{NAME}--\r\n\r\nb"
    message = parsed(mail(text=attack, html="<p>x"))
    assert part(message, "plain").strip() == attack.replace("\r\n", "\n")
    assert part(message, "html").strip() == "<p>x"


CONTROLS = [chr(code) for code in range(0x3000) if unicodedata.category(chr(code)) in ("Cc", "Zl", "Zp")]


PLACES: dict[str, Callable[[str], object]] = {
    "subject": mail,
    "to": lambda bad: mime(Mail(NAME, f"ana@example.com{bad[1]}", "s", "t", None, MOMENT), SENDER),
    "message_id": lambda bad: mime(Mail(bad, "ana@example.com", "s", "t", None, MOMENT), SENDER),
    "url": lambda bad: mail(url=f"https://e.example/{bad}"),
    "name": lambda bad: header_text(bad, phrase=True),
    "from": lambda bad: sender_of(f"{bad} <x@shop.example>"),
}


@pytest.mark.parametrize("place", sorted(PLACES))
def test_no_control_character_gets_into_any_header(place: str) -> None:
    for character in CONTROLS:
        bad = f"a{character}Bcc: eve@example.com"
        with pytest.raises(HeaderError):
            PLACES[place](bad)


@pytest.mark.parametrize(
    "address",
    ["", "a", "a@", "@b", "a@b,c@d", "a@b>", "<a@b>", "a b@c", "a@b\n", "ána@b", "a@b..c", '"a b"@c', "a@-", "a@b;c@d"],
)
def test_exactly_one_plain_recipient(address: str) -> None:
    with pytest.raises(HeaderError):
        mime(Mail(NAME, address, "s", "t", None, MOMENT), SENDER)


def test_tokens_lead_back_and_cannot_be_made_by_others() -> None:
    secret, customer = b"s" * 32, derived_id("someone", 1)
    token = token_of(secret, customer, "email")
    assert len(token) == 36
    assert read_token(secret, token) == (customer, "email")
    assert read_token(secret, token_of(secret, customer, "sms")) == (customer, "sms")
    assert read_token(secret, token_of(secret, "no-uuid", "email")) == ("no-uuid", "email")
    assert read_token(b"t" * 32, token) is None


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 35), st.sampled_from("ABab01-_"))
def test_a_changed_token_is_none(position: int, character: str) -> None:
    token = token_of(b"s" * 32, derived_id("someone", 1), "email")
    assume(token[position] != character)
    assert read_token(b"s" * 32, token[:position] + character + token[position + 1 :]) is None


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_other_text_is_no_token(text: str) -> None:
    assert read_token(b"s" * 32, text) is None

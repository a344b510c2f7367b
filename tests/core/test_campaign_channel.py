"""The favourite channel: stated before learned before e-mail."""

import msgspec

from services.campaign.channel import address_of, favourite, response_rate
from shared.events.profiles import Calls, Emails, Known
from tests.core.campaign_builders import at, campaign, decided, policy, view

BOTH = ("email", "sms")


def test_what_the_customer_said_wins() -> None:
    busy = view(phone="+34600000001", traits={"preferred_channel": "SMS "}, emails=Emails(sent=5, clicked=5))
    assert favourite(busy, BOTH) == ("sms", "the customer asked for sms")
    assert favourite(busy, ("email",)).channel == "email"


def test_what_he_answers_to_comes_next() -> None:
    caller = view(phone="+34600000001", emails=Emails(sent=20, opened=20), calls=Calls(count=3, inbound=3))
    assert favourite(caller, BOTH) == ("sms", "he answered 3 of 3 contacts by sms")
    clicker = view(phone="+34600000001", emails=Emails(sent=20, clicked=9), calls=Calls(count=9, inbound=1))
    assert favourite(clicker, BOTH).channel == "email"


def test_opens_are_no_answer() -> None:
    assert favourite(view(emails=Emails(sent=9, opened=9)), BOTH).why == "email is the default"
    assert favourite(view(), ("sms",)).channel == "sms"


def test_one_answer_does_not_outweigh_many() -> None:
    assert response_rate("email", 1, 1) < response_rate("email", 20, 40)
    assert response_rate("email", 0, 0) == 0.03


def test_addresses() -> None:
    assert address_of(view(), "email") == "ana@example.com"
    assert address_of(view(), "sms") is None
    assert address_of(view(), "webhook") == view().profile_id


def test_the_newest_address_is_written_to() -> None:
    addresses = (Known("email", "a@example.com", at(1)), Known("email", "b@example.com", at(0)))
    assert address_of(msgspec.structs.replace(view(), identifiers=addresses), "email") == "a@example.com"
    assert address_of(msgspec.structs.replace(view(), identifiers=addresses[::-1]), "email") == "a@example.com"


def test_listed_channels_are_tried_in_order() -> None:
    rules = policy(campaign(channels=["sms", "email"]))
    assert decided(rules, view(phone="+34600000001")).channel == "sms"
    assert decided(rules, view()).channel == "email"


def test_channels_without_transport_are_not_chosen() -> None:
    rules = policy(campaign(channels=["sms", "email"]), transports=frozenset({"email"}))
    assert decided(rules, view(phone="+34600000001")).channel == "email"

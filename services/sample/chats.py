"""Generated conversations with a chatbot, about one per household and year; rates and texts are assumptions."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from services.sample.calls import in_touch, sentiment, stars
from services.sample.draft import DAY, HOUR, LOCAL, SECOND, SYNTHETIC, Draft, customer, written
from services.sample.draws import Draws
from services.sample.people import Household

PER_YEAR = (3_679, 3_679, 1_839, 613, 153, 31, 6)
"""Households in 10,000 with 0, 1, 2 … conversations: Poisson with mean 1."""

CHANNELS = (("web", 60), ("whatsapp", 30), ("messenger", 10))
BOT = "assistant"
HANDED_OVER = 0.15


class Intent(NamedTuple):
    """What a conversation is about: mean sentiment in hundredths, and what either side says in turn."""

    name: str
    sentiment: int
    customer: tuple[str, str, str]
    answers: tuple[str, str, str]


INTENTS = (
    Intent(
        "opening_hours",
        20,
        ("When do you open on Sunday?", "And on public holidays?", "Thanks, that helps."),
        ("We open at 8 on Sundays.", "On public holidays from 10 to 18.", "You are welcome."),
    ),
    Intent(
        "coupon",
        0,
        ("My coupon was not accepted at the till.", "It is the one from the last mailing.", "Fine, I will try again."),
        (
            "I am sorry. Which coupon was it?",
            "It is still valid, please show it again.",
            "Thank you for your patience.",
        ),
    ),
    Intent(
        "product_search",
        15,
        ("Do you carry lactose-free yogurt?", "Which size is it?", "Great, I will come by."),
        ("Yes, you find it in the dairy aisle.", "There are cups of 6 and of 32 ounces.", "See you soon."),
    ),
    Intent(
        "complaint",
        -50,
        ("The salad I bought yesterday was spoiled.", "I still have the receipt.", "How long will that take?"),
        ("I am very sorry to hear that.", "Please bring it, we will refund you.", "Right away, at the service desk."),
    ),
    Intent(
        "refund",
        -25,
        ("I was charged twice for the same item.", "The receipt is from Friday.", "When do I get the money?"),
        ("Let me look into this.", "I have found the receipt.", "Within three working days."),
    ),
    Intent(
        "loyalty_card",
        10,
        ("How do I add my wife to our card?", "Does she need her own number?", "Perfect."),
        ("You can do it at the service desk.", "No, she uses the same number.", "Anything else?"),
    ),
)


def chats(families: Sequence[Household], end: int) -> Iterator[Draft]:
    """`chat.started`, two to six `chat.message` and `chat.ended` per conversation, while the household is in touch."""
    for family in families:
        draws = Draws(f"chats/{family.number}")
        for number in range(draws.weighted(PER_YEAR)):
            yield from _conversation(family, number, draws, end)


def _conversation(family: Household, number: int, draws: Draws, end: int) -> Iterator[Draft]:
    name = f"chat-{family.number}-{number}"
    start = end // DAY * DAY - draws.between(1, 365) * DAY + LOCAL + 8 * HOUR + draws.below(14 * 3_600) * SECOND
    intent = draws.pick(INTENTS)
    common: dict[str, object] = {
        "customer": customer(family.number),
        "conversation_id": name,
        "bot_id": BOT,
        "channel": CHANNELS[draws.weighted([weight for _, weight in CHANNELS])][0],
    }
    drafts = [Draft(start, family.number, "chat.started", SYNTHETIC, f"{name}-started", written(common))]
    at, handed_over = start, draws.happens(HANDED_OVER)
    for turn in range(draws.between(2, 6)):
        at += draws.between(8, 75) * SECOND
        data = common | _message(intent, turn, handed_over, draws)
        drafts.append(Draft(at, family.number, "chat.message", SYNTHETIC, f"{name}-{turn}", written(data)))
    at += draws.between(5, 60) * SECOND
    data = common | _outcome(intent, handed_over, (at - start) // SECOND, draws)
    drafts.append(Draft(at, family.number, "chat.ended", SYNTHETIC, f"{name}-ended", written(data)))
    if in_touch(family, start, end) and at <= end:
        yield from drafts


def _message(intent: Intent, turn: int, handed_over: bool, draws: Draws) -> dict[str, object]:
    """The customer speaks first, then in turn the robot, or a person once the matter was handed over."""
    step, answering = divmod(turn, 2)
    if answering:
        return {"role": "agent" if handed_over and step else "bot", "text": intent.answers[step]}
    mood = sentiment(draws, intent.sentiment)
    return {"role": "customer", "text": intent.customer[step], "intent": intent.name, "sentiment": mood}


def _outcome(intent: Intent, handed_over: bool, seconds: int, draws: Draws) -> dict[str, object]:
    resolved = draws.happens(0.9 if handed_over else 0.75)
    ended: dict[str, object] = {
        "duration_seconds": seconds,
        "handed_over": handed_over,
        "intent": intent.name,
        "resolved": resolved,
    }
    if draws.happens(0.3):
        ended["csat"] = stars(draws, resolved)
    return ended

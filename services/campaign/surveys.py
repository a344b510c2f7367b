"""Small surveys that a message links to: one question, and room for a word."""

import uuid
from collections.abc import Mapping
from html import escape
from typing import NamedTuple

from services.campaign.signed import seal, unseal

PURPOSE = "survey"
LONGEST_COMMENT = 2_000
REASONS: Mapping[str, str] = {
    "price": "The price",
    "quality": "The quality",
    "service": "The service",
    "delivery": "The delivery",
    "not_needed": "I do not need it any more",
    "other": "Something else",
}


class Question(NamedTuple):
    """What is asked, and the scores from which to choose; a survey without scores asks for a reason."""

    text: str
    scores: range


QUESTIONS: Mapping[str, Question] = {
    "nps": Question("How likely are you to recommend us to a friend? (0 not at all, 10 certainly)", range(11)),
    "csat": Question("How satisfied are you? (1 not at all, 5 very)", range(1, 6)),
    "ces": Question("How easy was it? (1 very hard, 7 very easy)", range(1, 8)),
    "reason": Question("What was the main reason?", range(0)),
}
_NAMES = tuple(QUESTIONS)


class Survey(NamedTuple):
    """The survey of a message."""

    message_id: str
    name: str


def survey_token(secret: bytes, survey: Survey) -> str:
    """The token of a message's survey, without personal data."""
    return seal(secret, PURPOSE, bytes([_NAMES.index(survey.name)]) + uuid.UUID(survey.message_id).bytes)


def read_survey(secret: bytes, token: str) -> Survey | None:
    """The survey of a token, None for one that is not ours."""
    body = unseal(secret, PURPOSE, token)
    if body is None or len(body) != 17 or body[0] >= len(_NAMES):
        return None
    return Survey(str(uuid.UUID(bytes=body[1:])), _NAMES[body[0]])


def form(name: str) -> str:
    """The form of a survey, as HTML."""
    question = QUESTIONS[name]
    field = "score" if question.scores else "reason"
    choices = [(str(score), str(score)) for score in question.scores] or list(REASONS.items())
    inputs = "\n".join(
        f'<label><input type="radio" name="{field}" value="{escape(value)}" required> {escape(text)}</label>'
        for value, text in choices
    )
    comment = f'<textarea name="comment" rows="4" maxlength="{LONGEST_COMMENT}" aria-label="Comment"></textarea>'
    return (
        f'<form method="post"><p>{escape(question.text)}</p>\n<p>{inputs}</p>\n'
        f"<p>Anything else? {comment}</p>\n<button>Send</button></form>"
    )


def answer(name: str, given: Mapping[str, str]) -> dict[str, object]:
    """The data of `survey.answered` from a form that was sent in. Raises ValueError with what is wrong, for people."""
    question, comment = QUESTIONS[name], given.get("comment", "").strip()
    if len(comment) > LONGEST_COMMENT:
        raise ValueError(f"Please use at most {LONGEST_COMMENT} characters.")
    said: dict[str, object] = {"survey": name, **({"comment": comment} if comment else {})}
    if not question.scores:
        if given.get("reason") not in REASONS:
            raise ValueError("Please choose a reason.")
        return {**said, "reason": given["reason"]}
    score = given.get("score", "")
    if not score.isascii() or not score.isdigit() or len(score) > 2 or int(score) not in question.scores:
        raise ValueError("Please choose one of the numbers.")
    return {**said, "score": int(score)}

"""A rule as the audience of a campaign: asked of one customer at any moment, from what is kept of his record."""

from collections.abc import Callable
from datetime import datetime

import cramjam

from services.segment.attributes import Facts, facts_of
from services.segment.rules import RuleError, compile_python, parse
from services.segment.rules.expression import references
from shared.events.profiles import decoder


class AudienceLanguage:
    """The rule language for whoever knows customers by their records only. Money counts in the company's currency."""

    def __init__(self, currency: str) -> None:
        self._currency = currency

    def facts(self, record: bytes) -> bytes:
        """What is kept of a customer's record; only `compile` knows how to read it.

        It is made of every record and asked of few, so it is packed and read only when a rule asks.
        """
        return bytes(cramjam.lz4.compress_block(record))

    def compile(self, text: str) -> Callable[[bytes, datetime], bool | None]:
        """A rule as a question to facts as of a moment; null is None. Raises RuleError.

        What depends on the whole portfolio is refused: a record does not tell it.
        """
        expression = parse(text)
        for reference in references(expression.root):
            if reference.attribute.needs:
                name = reference.attribute.name
                raise RuleError(
                    f"{name} depends on the whole portfolio and is not available in an audience",
                    reference.position,
                )
        rule = compile_python(expression)
        return lambda facts, at: rule.holds(self._read(facts), at, {})

    def _read(self, facts: bytes) -> Facts:
        record = decoder.decode(bytes(cramjam.lz4.decompress_block(facts)))
        return facts_of(record, self._currency)

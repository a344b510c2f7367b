"""The tag `abort_message`, with which a template decides not to be sent."""

import re
from typing import TextIO

from liquid import RenderContext, TokenStream
from liquid.ast import Node
from liquid.exceptions import LiquidSyntaxError
from liquid.tag import Tag
from liquid.token import TOKEN_EXPRESSION, TOKEN_TAG, Token


class AbortedError(Exception):
    """The template decided not to send; the text is its reason."""


class AbortNode(Node):
    """Raises when it is reached."""

    def __init__(self, token: Token, reason: str) -> None:
        super().__init__(token)
        self.reason = reason
        self.blank = False

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Never returns: raises AbortedError."""
        raise AbortedError(self.reason)


class AbortTag(Tag):
    """`{% abort_message('no stock') %}` or `{% abort_message %}`."""

    name = "abort_message"
    block = False

    def parse(self, stream: TokenStream) -> Node:
        """Read the one optional quoted text."""
        stream.expect(TOKEN_TAG)
        token, text = stream.current, ""
        if stream.peek.kind == TOKEN_EXPRESSION:
            stream.next_token()
            text = stream.current.value.strip()
        found = re.fullmatch(r"""\(?\s*(?:"([^"]*)"|'([^']*)')?\s*\)?""", text)
        if not found:
            raise LiquidSyntaxError("abort_message takes one quoted text", token=token)
        return AbortNode(token, found[1] or found[2] or "aborted by template")

"""What is wrong with a rule, and where."""

from shared.errors import CarteraError


class RuleError(CarteraError):
    """A rule that cannot be used. `position` counts characters of its text from 1."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} (at character {position})")
        self.message = message
        self.position = position

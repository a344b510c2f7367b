"""The file outbox: one file per message, named by its id, so that writing it twice changes nothing."""

import os
from datetime import datetime
from pathlib import Path

from services.campaign.definition import NAME
from services.campaign.model import Message
from shared.events.times import from_ms


class Outbox:
    """A folder of messages. Live ones lie in it, those of imports under `history/CAMPAIGN/YEAR-MONTH`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: set[Path] = set()

    def write(self, message: Message, content: bytes, suffix: str) -> Path:
        """Put a message there; readers see it whole or not at all."""
        folder = self._folder(message.campaign, message.history, from_ms(message.changed_at))
        if folder not in self._made:
            folder.mkdir(parents=True, exist_ok=True)
            self._made.add(folder)
        path = folder / f"{message.message_id}{suffix}"
        draft = f"{path}.part"
        with open(draft, "wb", buffering=0) as file:
            file.write(content)
        os.replace(draft, path)
        return path

    def discard(self, message_id: str, campaign: str, history: str | None, moments: tuple[datetime, ...]) -> None:
        """Delete the files of a message, in whichever month they lie."""
        for folder in {self._folder(campaign, history, moment) for moment in moments}:
            for suffix in (".eml", ".json"):
                (folder / f"{message_id}{suffix}").unlink(missing_ok=True)

    def _folder(self, campaign: str, history: str | None, moment: datetime) -> Path:
        if history is None:
            return self.folder
        shown = campaign if NAME.fullmatch(campaign) else "other"
        return self.folder / "history" / shown / f"{moment:%Y-%m}"

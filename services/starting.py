"""From the command `up` or `serve` to a running platform: keys, sample, address, and what is printed."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import Process
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from services import composition, picture, replay
from shared.config import Settings
from shared.errors import WrongSetting
from shared.runtime.runner import Platform, listen
from shared.security import FirstKeys


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What to start. `sample` asks for the bundled sample on the first start of a data folder.

    `reactions_on_history` lets imports plan messages, into files only, as the sample does.
    """

    settings: Settings
    names: tuple[str, ...]
    host: str
    port: int
    sample: bool
    reactions_on_history: bool = False


async def start(what: Start, out: Console) -> None:
    """Run until told to stop. Prints one line `ready …` when it serves, and writes it to `DIR/endpoint`."""
    sock = listen(what.host, what.port)
    address = _address(what.host, sock.getsockname()[1])
    folder = composition.data_folder(what.settings)
    sample = _sample(what, folder)
    settings = what.settings.model_copy(update={"currency": str(sample["currency"])}) if sample else what.settings
    reactions = what.reactions_on_history or sample is not None
    platform, first = composition.compose(settings, what.names, address, reactions_on_history=reactions)
    if sample:
        if await replay.appended(platform.log) == 0:
            await replay.begin(platform.log, sample)

        if not await replay.is_applied(platform.log):
            platform.elsewhere.update(("profile", "segment"))
    whole = set(what.names) == set(composition.SERVICES)

    async def ready() -> None:
        if whole:
            (folder / "endpoint").write_text(address)
        out.print(f"ready {address}", highlight=False, soft_wrap=True)
        _show_keys(out, first, folder)
        if sample:
            await _follow_sample(platform, what.settings, sample, out, address)

    try:
        await platform.run(sock, ready)
    finally:
        if whole:
            with contextlib.suppress(FileNotFoundError):
                (folder / "endpoint").unlink()


def _sample(what: Start, folder: Path) -> dict[str, Any] | None:
    """The anchor of the sample when this data folder has one or is to get one; a company's Kafka never does."""
    if what.settings.log_url is not None:
        return None
    fresh = not (folder / "log.db").exists()
    if not (folder / "sample.json").exists() and not (what.sample and fresh):
        return None
    if fresh and not replay.available():
        raise WrongSetting("the sample is not installed: install cartera[sample], or start with --no-sample")
    chosen = what.settings.currency if "currency" in what.settings.model_fields_set else "USD"
    return replay.anchor(folder, composition.now(), chosen)


def _address(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def _show_keys(out: Console, first: FirstKeys, folder: Path) -> None:
    if first.created:
        out.print(f"write key  {first.write}\nadmin key  {first.admin}", highlight=False, soft_wrap=True)
        file = folder / "keys.json"
        also = f"; also in {file}, readable by you only" if file.exists() else ": keep them"
        out.print(f"(shown once{also})", highlight=False, soft_wrap=True)


async def _follow_sample(
    platform: Platform, settings: Settings, sample: dict[str, Any], out: Console, address: str
) -> None:
    """Replay what is missing of the sample, show how far it is, then the picture.

    One process makes the events and two others run the profile and the segment stage meanwhile, so that all cores are
    used; when the history is applied the stages come back into this process.
    """
    if platform.elsewhere:
        stages = [await _spawn(settings, "drain-sample", name) for name in sorted(platform.elsewhere)]
        children = [await _spawn(settings, "replay-sample"), *stages]
        try:
            await replay.show_progress(platform.log, out, children)
        finally:
            await _end(children)
        platform.take_back()
    out.print(await asyncio.to_thread(picture.draw, platform, address, settings.data_dir), soft_wrap=True)


async def _end(children: list[Process]) -> None:
    for child in children:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
        await child.wait()


async def _spawn(settings: Settings, *command: str) -> Process:
    environment = {**os.environ, "CARTERA_DATA_DIR": str(settings.data_dir)}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services", *command, env=environment, stdin=asyncio.subprocess.DEVNULL
    )


__all__ = ["Start", "start"]

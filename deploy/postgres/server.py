"""A PostgreSQL server without Docker, from the binaries that are installed: for trials, development and the tests.

    python deploy/postgres/server.py start [--data DIR] [--port PORT]
    python deploy/postgres/server.py stop|status [--data DIR]

`start` lays a cluster down on the first time, with a role `cartera` that owns a database `cartera` and is no superuser,
and prints the value of CARTERA_DATABASE_URL. It listens on 127.0.0.1 only. Needs nothing but Python and PostgreSQL 15+.
"""

import argparse
import os
import pwd
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

DEFAULT_DATA = Path("/var/tmp/cartera-postgres")
OLDEST = 15
PATIENCE = 30.0
"""Seconds a server may take to start or stop."""

UNSAFE = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
"""Settings for tests that never lose power: nothing is flushed to the disk."""


class NoServer(Exception):
    """There is no PostgreSQL here, or it did not start; the message is one line."""


def binaries() -> Path:
    """The folder of `initdb` and `postgres`: the newest of the usual places. Raises NoServer."""
    for folder in _folders():
        if all((folder / name).is_file() for name in ("initdb", "postgres", "pg_ctl")) and _major(folder) >= OLDEST:
            return folder
    raise NoServer(f"PostgreSQL {OLDEST}+ is not installed (no initdb found): install the package postgresql")


def _folders() -> Iterator[Path]:
    if "PG_BIN" in os.environ:
        yield Path(os.environ["PG_BIN"])
    if config := shutil.which("pg_config"):
        yield Path(subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False).stdout.strip())
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    for root, pattern in (
        ("/usr/lib/postgresql", "*/bin"),
        ("/usr", "pgsql-*/bin"),
        ("/opt/homebrew/opt", "postgresql@*/bin"),
        ("/usr/local/opt", "postgresql@*/bin"),
    ):
        yield from sorted(Path(root).glob(pattern), key=lambda one: _numbers(str(one)), reverse=True)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)]


def _major(folder: Path) -> int:
    shown = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    return next(iter(_numbers(shown)), 0)


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Server:
    """One cluster in one folder. PostgreSQL refuses to run as root, so there it runs as `postgres` or `nobody`."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.port = port or _known_port(folder) or free_port()
        self._bin = binaries()
        self._at = ("-D", str(folder))
        self._user = _ordinary_user() if os.geteuid() == 0 else None

    @property
    def url(self) -> str:
        """What CARTERA_DATABASE_URL is set to."""
        return f"postgresql://cartera:{self._password()}@127.0.0.1:{self.port}/cartera"

    def start(self, settings: Mapping[str, str] | None = None) -> "Server":
        """Lay the cluster down where there is none, then serve. Raises NoServer with the reason."""
        if not (self.folder / "PG_VERSION").exists():
            self._lay_down()
        options = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""}
        shown = " ".join(f"-c {name}='{value}'" for name, value in {**options, **(settings or {})}.items())
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", *self._at, "-w", "-t", f"{PATIENCE:.0f}", "-l", log, "-o", shown)
        return self

    def stop(self, mode: str = "fast") -> None:
        """End it; `immediate` is what a power failure looks like to the next start."""
        self._run("pg_ctl", "stop", *self._at, "-w", "-m", mode)

    def pid(self) -> int | None:
        """The process id of the server; None when it does not run."""
        try:
            pid = int((self.folder / "postmaster.pid").read_text().splitlines()[0])
            os.kill(pid, 0)
        except (FileNotFoundError, ProcessLookupError, IndexError):
            return None
        return pid

    def remove(self) -> None:
        """Stop it and delete the folder."""
        if self.pid() is not None:
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _lay_down(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", *self._at, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        (self.folder / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
        password = secrets.token_hex(16)
        orders = (
            f"CREATE ROLE cartera LOGIN PASSWORD '{password}'",
            "CREATE DATABASE cartera OWNER cartera",
        )
        self._run("postgres", "--single", *self._at, "postgres", text="\n".join(orders) + "\n")
        file = self.folder / "cartera.password"
        file.touch(0o600)
        file.write_text(password)

    def _password(self) -> str:
        return (self.folder / "cartera.password").read_text()

    def _run(self, program: str, *arguments: str, text: str = "") -> None:
        done = self._as_user([str(self._bin / program), *arguments], text)
        if done.returncode:
            said = done.stdout.strip().splitlines() or ["no reason given"]
            raise NoServer(f"{program} failed: {said[-1]}")

    def _as_user(self, command: Sequence[str], text: str) -> subprocess.CompletedProcess[str]:
        user = self._user
        plain = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
        # a file, because pg_ctl leaves the server behind, which would keep a pipe open
        with tempfile.TemporaryFile("w+") as out:
            done = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                env=plain,
                cwd="/",
                user=None if user is None else user.pw_uid,
                group=None if user is None else user.pw_gid,
                extra_groups=None if user is None else (),
            )
            done.communicate(text)
            out.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, out.read(), "")


def _known_port(folder: Path) -> int:
    try:
        return int((folder / "postmaster.pid").read_text().splitlines()[3])
    except (FileNotFoundError, IndexError, ValueError):
        return 0


def _ordinary_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoServer("PostgreSQL does not run as root and there is no user postgres or nobody: start as another user")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 when it could not be done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("start", "stop", "status"))
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help=f"folder of the cluster ({DEFAULT_DATA})")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; a free one when not given")
    chosen = parser.parse_args(arguments)
    try:
        server = Server(chosen.data, chosen.port)
        if chosen.command == "start" and server.pid() is None:
            server.start()
        elif chosen.command == "stop" and server.pid() is not None:
            server.stop()
    except NoServer as error:
        print(error, file=sys.stderr)
        return 1
    running = server.pid() is not None
    print(f"CARTERA_DATABASE_URL={server.url}" if running else "not running")
    return 0 if running or chosen.command == "stop" else 1


if __name__ == "__main__":
    sys.exit(main())

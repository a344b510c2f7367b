"""Kafka brokers for tests, from the jars of deploy/kafka: started, paused, killed and stopped by process id."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "kafka" / "kafka.sh"
CLUSTER_ID = "5L6g3nShT-eMCtK--X86sw"


class NoBroker(Exception):
    """No broker can be had here; the message says why and what to do."""


class Cluster:
    """One broker or three in a folder of their own."""

    def __init__(self, folder: Path, brokers: int = 1) -> None:
        self.folder = folder
        self.brokers = brokers
        self.port = _free_port(brokers)

    @property
    def url(self) -> str:
        """The address for `CARTERA_LOG_URL`."""
        return "kafka://" + ",".join(f"127.0.0.1:{self.port + i}" for i in range(self.brokers))

    def start(self) -> "Cluster":
        """Start those that do not run and wait until they answer. Raises NoBroker."""
        done = self._script("start", "--brokers", str(self.brokers), "--port", str(self.port))
        if done.returncode:
            raise NoBroker(done.stderr.strip() or f"kafka.sh ended with {done.returncode}")
        return self

    def stop(self) -> None:
        """Stop all of them in order."""
        for number in range(1, self.brokers + 1):
            with suppress(FileNotFoundError, ProcessLookupError):
                self.resume(number)
        self._script("stop")

    def pause(self, number: int = 1) -> None:
        """Let a broker hang: connections stay open, nothing is answered from now on."""
        pid = self._pid(number)
        os.kill(pid, signal.SIGSTOP)
        while not all(_is_stopped(thread) for thread in Path(f"/proc/{pid}/task").iterdir()):
            time.sleep(0.01)

    def resume(self, number: int = 1) -> None:
        """Let it go on."""
        os.kill(self._pid(number), signal.SIGCONT)

    def kill(self, number: int = 1) -> None:
        """End a broker without warning."""
        pid = self._pid(number)
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
            time.sleep(0.02)

    def _pid(self, number: int) -> int:
        return int((self.folder / f"broker-{number}" / "pid").read_text())

    def _script(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(SCRIPT), *arguments, "--dir", str(self.folder)]
        environment = {**os.environ, "KAFKA_HEAP_MEGABYTES": "256"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a broker: of the one in CARTERA_TEST_KAFKA, else of one started here. Skips without one."""
    given = os.environ.get("CARTERA_TEST_KAFKA")
    if given:
        yield given if given.startswith("kafka://") else f"kafka://{given}"
    else:
        with own(folder) as cluster:
            yield cluster.url


@contextmanager
def own(folder: Path, brokers: int = 1) -> Iterator[Cluster]:
    """Brokers of our own, which may be hurt. Without them the test is skipped, and in CI failed."""
    cluster = Cluster(folder, brokers)
    try:
        try:
            cluster.start()
        except NoBroker as reason:
            _do_without(f"{reason}; or set CARTERA_TEST_KAFKA")
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def from_the_image(folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """The address (host:port) of a broker set up as the image apache/kafka does it, by its own program.

    `environment` is that of the container. Only hosts, ports and folders are exchanged.
    """
    port = _free_port(1)
    places = {
        "//:9092": f"//127.0.0.1:{port}",
        "kafka:9092": f"127.0.0.1:{port}",
        ":9093": f":{port + 10}",
        "@kafka:": "@127.0.0.1:",
        "//:": "//127.0.0.1:",
        environment["KAFKA_LOG_DIRS"]: str(folder / "data"),
    }
    said = {name: _exchanged(str(value), places) for name, value in environment.items()}
    java = ["java", "-Xmx256m", f"-Dlog4j2.configurationFile={SCRIPT.parent / 'log4j2.properties'}", "-cp", _jars()]
    setup = [*java, "kafka.docker.KafkaDockerWrapper", "setup"]
    for name in ("default", "mounted", "final"):
        (folder / name).mkdir(parents=True)
        setup += [f"--{name}-configs-dir", str(folder / name)]
    around = {"PATH": os.environ["PATH"], "CLUSTER_ID": CLUSTER_ID}
    done = subprocess.run(setup, env={**around, **said}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with (folder / "out").open("wb") as out:
        broker = subprocess.Popen(
            [*java, "kafka.Kafka", str(folder / "final" / "server.properties")], env=around, stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + 60
        while _is_free(port):
            assert broker.poll() is None, (folder / "out").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        broker.kill()
        broker.wait(10)


def _jars() -> str:
    """The class path of Kafka's own programs; without it the test is skipped, and in CI failed."""
    done = subprocess.run([SCRIPT, "jars"], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        _do_without(done.stderr.strip())
    return f"{done.stdout.strip()}/*"


def _do_without(reason: str) -> None:
    """Skip the test, or fail it where nothing may be skipped."""
    tell = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
    tell(reason)


def _exchanged(text: str, places: Mapping[str, str]) -> str:
    for old, new in places.items():
        text = text.replace(old, new)
    return text


def _free_port(brokers: int) -> int:
    """A port that is free, and with it those of the other brokers and of the controllers (ten above)."""
    for _ in range(100):
        with closing(socket.socket()) as sock:
            sock.bind(("127.0.0.1", 0))
            base: int = sock.getsockname()[1]
        if base < 65000 and all(_is_free(base + add + i) for add in (0, 10) for i in range(brokers)):
            return base
    raise NoBroker("no free ports were found")


def _is_stopped(thread: Path) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return (thread / "stat").read_text().rpartition(")")[2].split()[0] == "T"
    return True


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

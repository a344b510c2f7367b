"""A gate in front of the platform that refuses the first requests, in the platform's own words, and counts them all."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import httpx

from shared.runtime.web.problems import Problem, answer


class Seen(NamedTuple):
    """One request as it came."""

    path: str
    body: bytes
    status: int


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Silence: a library that ends may reset its connections."""


class Gate:
    """Refuses as long as there is something in `refusals`, then lets everything through."""

    def __init__(self, url: str, refusals: Sequence[Problem] = ()) -> None:
        self.refusals = list(refusals)
        self.seen: list[Seen] = []
        self._behind = httpx.Client(base_url=url, timeout=30)
        self._lock = threading.Lock()
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                gate.serve(self)

            def log_message(self, *_: object) -> None:
                """Silence."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where the gate stands."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Refuse one request or pass it on."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        with self._lock:
            refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            response = answer(refusal)
            status, content = response.status_code, bytes(response.body)
            headers = [(name.decode(), value.decode()) for name, value in response.raw_headers]
        else:
            kept = {n: v for n, v in handler.headers.items() if n.lower() not in ("host", "connection")}
            passed = self._behind.post(handler.path, content=body, headers=kept)
            status, content = passed.status_code, passed.content
            headers = [(n, v) for n, v in passed.headers.items() if n not in ("server", "date", "connection")]
        with self._lock:
            self.seen.append(Seen(handler.path, body, status))
        handler.send_response(status)
        for name, value in headers:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def start(self) -> "Gate":
        """Begin to listen."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._behind.close()
        self._thread.join()


@contextmanager
def gates(url: str, all_refusals: Sequence[Sequence[Problem]]) -> Iterator[list[Gate]]:
    """One gate for each list of refusals."""
    opened = [Gate(url, refusals).start() for refusals in all_refusals]
    try:
        yield opened
    finally:
        for gate in opened:
            gate.close()

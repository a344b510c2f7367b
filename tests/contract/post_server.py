"""A receiver of HTTP posts for tests, which can also misbehave in the ways that matter."""

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple


class Post(NamedTuple):
    """A post that came in; header names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class PostServer:
    """Listens on a free port. `status` is what it answers with `extra` headers; 0 closes the connection unanswered."""

    def __init__(self, status: int = 200, **extra: str) -> None:
        self.status = status
        self.extra = extra
        self.received: list[Post] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.received.append(Post(self.path, headers, body))
                if outer.status == 0:
                    self.close_connection = True
                    return
                self.send_response(outer.status)
                for name, value in outer.extra.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://user:pass@127.0.0.1:{self._server.server_port}/in"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> "PostServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

"""A mail server for tests, which can also misbehave in the ways that matter."""

import socket
import threading
from typing import Any


class MailServer:
    """Listens on a free port. `mode`: accept, reject (5xx to the recipient), busy (4xx), vanish (after the text)."""

    def __init__(self, mode: str = "accept") -> None:
        self.mode = mode
        self.received: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"smtp://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> "MailServer":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                self._talk(stream)

    def _talk(self, stream: Any) -> None:
        self._say(stream, b"220 test")
        while line := stream.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self._say(stream, b"354 go on")
                text = b"".join(iter(stream.readline, b".\r\n"))
                self.received.append(text)
                if self.mode == "vanish":
                    return
                self._say(stream, b"250 queued")
            elif verb == b"QUIT":
                self._say(stream, b"221 bye")
                return
            elif verb == b"RCPT" and self.mode in ("reject", "busy"):
                self._say(stream, b"550 unknown" if self.mode == "reject" else b"451 later")
            else:
                self._say(stream, b"250 ok")

    @staticmethod
    def _say(stream: Any, text: bytes) -> None:
        stream.write(text + b"\r\n")
        stream.flush()

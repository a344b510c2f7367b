"""The mail server of the chaos runs: takes every mail and remembers which message it was."""

import re
import socketserver
import threading
from collections import Counter

MESSAGE_ID = re.compile(rb"^Message-ID: <([^@>]+)@", re.MULTILINE)


class Receiver:
    """Counts how often each message arrived; a mail counts when its last line has come, whatever is answered then."""

    def __init__(self) -> None:
        self.arrived: Counter[str] = Counter()
        receiver = self

        class Talk(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                receiver.talk(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Silence: those who are killed break off."""

        self._server = Server(("127.0.0.1", 0), Talk)
        self.url = f"smtp://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def talk(self, talk: socketserver.StreamRequestHandler) -> None:
        """One session."""
        talk.wfile.write(b"220 ready\r\n")
        while line := talk.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                talk.wfile.write(b"354 go on\r\n")
                lines: list[bytes] = []
                while (text := talk.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(text)
                if text and (found := MESSAGE_ID.search(b"".join(lines))):
                    self.arrived[found[1].decode()] += 1
            talk.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT":
                return

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

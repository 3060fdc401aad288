"""Addresses where something answers that is no PostgreSQL server, or nothing at all."""

import contextlib
import socket
import threading
from dataclasses import dataclass

ADDRESS = "127.0.0.1"


@dataclass(frozen=True)
class Manner:
    """What a client gets for its first bytes, and whether the connection is closed then. None accepts no connection."""

    answer: bytes | None
    closes: bool = True


MANNERS = {
    # The kernel completes the connection, and nothing is ever read.
    "silent": Manner(None),
    "closing": Manner(b""),
    "web": Manner(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    # Plain text behind the agreement to use TLS, as an attacker in the middle would send it.
    "stuffing": Manner(b"S" + b"R\0\0\0\x08\0\0\0\0", closes=False),
    "old": Manner(b"EFATAL:  unsupported frontend protocol\n\0"),
    "no_tls_then_silent": Manner(b"N", closes=False),
    "tls_then_silent": Manner(b"S", closes=False),
}


class Listener:
    """Answers in one manner on a port of loopback until it is closed."""

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.socket = socket.socket()
        self.socket.bind((ADDRESS, 0))
        self.socket.listen(64)
        self.port = self.socket.getsockname()[1]
        self.open: list[socket.socket] = []
        if manner.answer is not None:
            threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        # Closing the socket ends it.
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.socket.accept()
                threading.Thread(target=self.answer, args=(client,), daemon=True).start()

    def answer(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.manner.answer:
                client.recv(4096)
                client.sendall(self.manner.answer)
            if self.manner.closes:
                client.close()
            else:
                self.open.append(client)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        for one in [*self.open, self.socket]:
            one.close()

"""Ports for programs that are told theirs."""

import secrets
import socket

OURS = range(10_000, 32_768)
"""Below those that Linux gives to whoever asks for any: one of those may be given away first."""


def free_port() -> int:
    """A port that nobody listens on now."""
    while True:
        port = secrets.choice(OURS)
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port

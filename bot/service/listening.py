"""Whether a port is there to be listened on."""

import socket


def in_the_way(port: int) -> str | None:
    """Why nobody could listen on a port of all addresses now; None where one could."""
    with socket.socket() as probe:
        # As servers do; it doesn't let two of them have one port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            return error.strerror or type(error).__name__
    return None

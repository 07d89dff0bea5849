"""End with a sentence unless the server can listen on a port of 127.0.0.1.

    port.py PORT

Runs on the system's own Python, before anything is installed, so it needs the standard library only.
"""

import errno
import socket
import sys


def check(text: str) -> None:
    """Raise SystemExit, with a sentence, unless a server can listen on the port that the text names."""
    if not (text.isascii() and text.isdecimal()) or not 0 < int(text) < 65536:
        sys.exit(f"PORT={text} is not a port: choose a number from 1 to 65535.")
    with socket.socket() as probe:
        # As the server does: connections that have ended are not in its way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(text)))
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error})"
            sys.exit(
                f"Port {text} of 127.0.0.1 {why}: choose another one, as in: make run PORT=8001"
            )


if __name__ == "__main__":
    check(*sys.argv[1:])

"""Ports of this machine that nobody else gets."""

import socket


def reserved(host: str = "127.0.0.1") -> int:
    """Return a port that is nobody else's until this process ends.

    Where nothing listens on it, connections are refused. A server may listen on it, end, and listen again: all that
    are started here may take an address that is in use by who does not listen. The kernel gives it neither to whoever
    wants any port nor to a connection, also not to one that looks for the server, which would be connected to itself.

    Args:
        host: the address for which it is.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((host, 0))
    port = int(holder.getsockname()[1])
    # It stays open, and there is no object of which Python would say so.
    holder.detach()
    return port

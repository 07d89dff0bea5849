"""Asks the kernel about a connection's peer: whether it has acknowledged everything, and whether it is there."""

import fcntl
import socket
import struct
import termios
from typing import Any


def unsent(transport: Any) -> int:
    """Return how many bytes were written to a TCP transport of Twisted that the kernel has not taken yet."""
    waiting: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return waiting


def unacknowledged(transport: Any) -> int:
    """Return how many bytes were written to a TCP transport of Twisted that its peer has not acknowledged.

    Where a system cannot say so (it is for sockets on Linux and macOS), only what has not been sent is counted.
    """
    waiting = unsent(transport)
    try:
        # SIOCOUTQ: the bytes that the kernel keeps until they are acknowledged.
        answer = fcntl.ioctl(transport.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:
        return waiting
    return waiting + int(struct.unpack("i", answer)[0])


def failed(transport: Any) -> bool:
    """Say whether the peer has reset the connection, or the kernel has given it up."""
    error = transport.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    return bool(error)

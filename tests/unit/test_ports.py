"""`tests/ports.py`: a port that is reserved is there for servers of the tests only."""

import errno
import socket

import pytest

from tests.ports import reserved


def test_nobody_listens_until_a_server_does_and_it_may_come_again():
    port = reserved()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        # As servers do, it allows for the address to be in use.
        with socket.create_server(("127.0.0.1", port)):
            socket.create_connection(("127.0.0.1", port)).close()


def test_nobody_else_gets_it():
    port = reserved()
    with socket.socket() as other, pytest.raises(OSError) as caught:  # noqa: PT011
        other.bind(("127.0.0.1", port))
    assert caught.value.errno == errno.EADDRINUSE
    assert reserved() != port

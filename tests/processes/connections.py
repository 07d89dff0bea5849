"""Requests that a test writes itself to a server, what comes back, and a log that is more than buffers hold."""

import json
import socket
import struct
from pathlib import Path
from urllib.parse import urlsplit

from django import db

from events_app.models import LogEntry
from tests.processes.service import Client, Serve


def address_of(server: Serve) -> tuple[str, int]:
    """Return where a server listens."""
    address = urlsplit(server.url)
    assert address.hostname is not None
    assert address.port is not None
    return address.hostname, address.port


def connect(server: Serve | tuple[str, int], buffer: int | None = None) -> socket.socket:
    """Connect to a server or an address, with so much room for what has not been read."""
    connection = socket.socket()
    if buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.settimeout(60)
    connection.connect(address_of(server) if isinstance(server, Serve) else server)
    return connection


def is_stuck(connection: socket.socket) -> bool:
    """Say whether the other end has sent more than can be acknowledged before something is read here."""
    # By the socket of the other end, which is on this machine.
    ends = _in_proc(connection.getpeername()), _in_proc(connection.getsockname())
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()]
    queues = [row[4] for row in rows if (*row[1:3],) == ends]
    room = connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    return any(int(sent.partition(":")[0], 16) > room for sent in queues)


def _in_proc(address: tuple[str, int]) -> str:
    """Return an IPv4 address as the kernel's table shows it."""
    host, port = address
    return f"{struct.unpack('=I', socket.inet_aton(host))[0]:08X}:{port:04X}"


def get(client: Client, path: str, *headers: str) -> bytes:
    """Return a user's request."""
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {client.token}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


def until_closed(connection: socket.socket) -> bytes:
    """Return all that comes until the server closes."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def statuses(answers: bytes) -> list[int]:
    """Return the statuses of answers that came on one connection."""
    return [int(part[1:4]) for part in answers.split(b"HTTP/1.1")[1:]]


def split(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers in small letters, and body of an answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


def fill_log(count: int) -> None:
    """Append so many events of a kilobyte, by one statement: to make the objects would take longer than the test."""
    with db.connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {LogEntry._meta.db_table} (channels, type, data, created_at)"
            " SELECT ARRAY['all'], 'edit.test', %s, now() FROM generate_series(1, %s)",
            [json.dumps("x" * 1000), count],
        )

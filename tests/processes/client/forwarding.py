"""Proxies of an office: an HTTP proxy and a SOCKS 5 proxy, each small enough to be read."""

import re
import socket
import socketserver
import struct
import threading
from contextlib import suppress

CONNECTED, NOT_ALLOWED = 0, 2
NO_METHOD = 0xFF


class Proxy(socketserver.ThreadingTCPServer):
    """One of them, on a free port.

    Args:
        scheme: `http`, or `socks5`.
        refusing: what a SOCKS proxy refuses: "" for nothing, "method" or "target".
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, scheme: str, refusing: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Socks if scheme.startswith("socks") else _Http)
        self.refusing = refusing
        # Where it connected to.
        self.reached: list[tuple[str, int]] = []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class _Forwarding(socketserver.BaseRequestHandler):
    server: Proxy
    request: socket.socket

    def handle(self) -> None:
        """Serve one connection; one that ends early has ended."""
        with suppress(OSError):
            self.serve()

    def serve(self) -> None:
        """Find out where it leads, and forward it."""
        raise NotImplementedError

    def forward(self, host: str, port: int, begun: bytes = b"") -> None:
        """Pass on what either side sends, until one ends."""
        self.server.reached.append((host, port))
        with socket.create_connection((host, port), 5) as far:
            far.settimeout(None)
            far.sendall(self.changed(begun))
            back = threading.Thread(target=self._copy, args=(far, self.request), daemon=True)
            back.start()
            self._copy(self.request, far)
            back.join(5)

    def changed(self, sent: bytes) -> bytes:
        """Return what a client sends as its server is to have it."""
        return sent

    def _copy(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while read := near.recv(65536):
                far.sendall(self.changed(read) if near is self.request else read)
        for one in (near, far):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Http(_Forwarding):
    def serve(self) -> None:
        head = self.request.recv(65536)
        if found := re.match(rb"[A-Z]+ http://([^/:]+):(\d+)/", head):
            self.forward(found[1].decode(), int(found[2]), head)

    def changed(self, sent: bytes) -> bytes:
        """Name the path alone, as servers are asked."""
        return re.sub(rb"^([A-Z]+) http://[^/]+/", rb"\1 /", sent)


class _Socks(_Forwarding):
    def serve(self) -> None:
        _, count = self._read(2)
        self._read(count)
        refused = self.server.refusing == "method"
        self.request.sendall(bytes([5, NO_METHOD if refused else 0]))
        if refused:
            return
        _, _, _, kind = self._read(4)
        host = socket.inet_ntoa(self._read(4)) if kind == 1 else self._read(*self._read(1)).decode()
        (port,) = struct.unpack("!H", self._read(2))
        answer = NOT_ALLOWED if self.server.refusing == "target" else CONNECTED
        self.request.sendall(bytes([5, answer, 0, 1, 0, 0, 0, 0, 0, 0]))
        if answer == CONNECTED:
            self.forward(host, port)

    def _read(self, count: int) -> bytes:
        read = b""
        while len(read) < count:
            got = self.request.recv(count - len(read))
            if not got:
                raise ConnectionResetError
            read += got
        return read

    def finish(self) -> None:
        with suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)

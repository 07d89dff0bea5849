"""Connections that keep the time limit of the thread that uses them.

httpx limits each wait for a piece of an answer: a server that sends one byte a second keeps a request open for ever.
Here each wait gets what is left of the whole. Names are resolved in a thread of their own, as nothing ends that.
"""

from __future__ import annotations

import ipaddress
import math
import queue
import socket
import ssl
import threading
import time
from typing import Any

import httpcore
import httpx

from silo_client.network.time_limit import left

# A server that takes little at a time has to come back for the limit to be looked at.
WRITTEN_AT_ONCE = 65536


def bound(client: httpx.Client) -> httpx.Client:
    """Have all connections of a client keep the time limit; return the client."""
    # httpx has no argument for it.
    transports = [client._transport, *client._mounts.values()]
    for transport in transports:
        pool: Any = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = BoundedBackend(pool._network_backend)
    return client


class BoundedBackend:
    """Opens connections, as httpcore has it done: an older one exports no class for it.

    Args:
        inner: opens them without a limit.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        **options: Any,
    ) -> BoundedStream:
        """Connect to one of the host's addresses. Each of them gets a share of the time."""
        seconds = _time_for(timeout, httpcore.ConnectTimeout)
        ends = math.inf if seconds is None else time.monotonic() + seconds
        addresses = _addresses(host, port, seconds)
        failure: Exception | None = None
        for number, address in enumerate(addresses):
            share = max(0.0, ends - time.monotonic()) / (len(addresses) - number)
            try:
                stream = self._inner.connect_tcp(
                    address,
                    port,
                    timeout=_time_for(share, httpcore.ConnectTimeout),
                    **options,
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return BoundedStream(stream)
        raise failure or httpcore.ConnectError(f"{host} has no address")

    def sleep(self, seconds: float) -> None:
        """Sleep."""
        self._inner.sleep(left(seconds))


class BoundedStream:
    """A connection.

    Args:
        inner: the same without a limit.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what comes next."""
        try:
            time_left = _time_for(timeout, httpcore.ReadTimeout)
            return bytes(self._inner.read(max_bytes, timeout=time_left))
        except BaseException:
            # httpcore forgets a connection whose SOCKS proxy does not answer.
            self._inner.close()
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it."""
        try:
            for start in range(0, len(buffer), WRITTEN_AT_ONCE):
                piece = buffer[start : start + WRITTEN_AT_ONCE]
                self._inner.write(piece, timeout=_time_for(timeout, httpcore.WriteTimeout))
        except httpcore.WriteTimeout:
            # As in `read`. After another error httpcore reads what the server may have said before it.
            self._inner.close()
            raise

    def close(self) -> None:
        """Close it."""
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> BoundedStream:
        """Encrypt it from now on."""
        try:
            time_left = _time_for(timeout, httpcore.ConnectTimeout)
            return BoundedStream(
                self._inner.start_tls(ssl_context, server_hostname, timeout=time_left)
            )
        except BaseException:
            # httpcore forgets the connection, and closes it itself only if the handshake has begun.
            self._inner.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection under this name."""
        return self._inner.get_extra_info(info)


def _time_for(timeout: float | None, too_late: type[Exception]) -> float | None:
    """Return the time for a step: that of its own limit and of the thread's.

    Raises:
        Exception: `too_late`: no time is left.
    """
    seconds = left() if timeout is None else left(timeout)
    if seconds <= 0:
        raise too_late("timed out")
    # Sockets take no infinity.
    return seconds if seconds < threading.TIMEOUT_MAX else None


def _addresses(host: str, port: int, seconds: float | None) -> list[str]:
    """Return the addresses of a host, in the order in which they are to be tried.

    Raises:
        httpcore.ConnectError: it has none.
        httpcore.ConnectTimeout: they were not found in time.
    """
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    else:
        return [host]
    answers: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    try:
        threading.Thread(target=resolve, daemon=True, name="silo resolve").start()
    except RuntimeError:
        # The interpreter ends, and makes no threads any more.
        resolve()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise httpcore.ConnectTimeout(f"the name {host} was not resolved in time") from None
    if isinstance(answer, Exception):
        raise httpcore.ConnectError(str(answer)) from answer
    return list(dict.fromkeys(_address_of(*one[4]) for one in answer))


def _address_of(address: str, _port: int, _flow: int = 0, scope: int = 0) -> str:
    return f"{address}%{scope}" if scope and "%" not in address else address

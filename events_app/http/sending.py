"""Writes to a connection at once, without another turn of the event loop."""

from typing import Any

from events_app.http import peers


def send_now(transport: Any, data: bytes) -> None:
    """Write to a TCP transport of Twisted: where nothing waits to be sent, the kernel takes it now, and not in the
    next turn of the loop."""
    socket = getattr(transport, "socket", None)
    if (
        socket is not None
        and transport.connected
        and not transport.disconnecting
        and not peers.unsent(transport)
    ):
        try:
            sent = socket.send(data)
        except OSError:
            # There is no room, or the connection has failed: Twisted finds out which.
            sent = 0
        if sent == len(data):
            return
        data = data[sent:]
    if data:
        transport.write(data)

"""The lane: hot calls are read and answered in the connection's channel, without Twisted's and Daphne's requests."""

import re
from typing import Any, Final

# First: it installs the reactor that everything of Twisted must use.
from daphne.server import twisted_loop  # isort: skip

from twisted.internet.protocol import connectionDone

from events_app.http import lane_parser
from events_app.http.connection_clock import Phase
from events_app.http.lane_parser import PlainRequest, Unfinished
from events_app.http.lane_request import Ends, LaneRequest
from events_app.http.twisted_channel import Channel

# Many clients send head and body in two packets. How long the head is kept for its body, before Twisted gets it.
KEEP_SECONDS: Final = 0.05


class LaneChannel(Channel):
    """A connection whose plain hot calls go through the lane. Twisted gets all other bytes as they came."""

    # What matches method and path of hot calls; None where there is no lane.
    hot_calls: re.Pattern[bytes] | None = None

    # A request whose body is not all here, how many bytes it will have, and until when it is kept.
    _kept: bytearray | None = None
    _kept_size = 0
    _keeping: Any = None
    _ends: Ends | None = None

    def dataReceived(self, data: bytes) -> None:
        """Answer a hot call that has come as a whole, or have Twisted read what has come."""
        if self._kept is not None:
            self._kept += data
            if len(self._kept) < self._kept_size:
                return
            data = self._taken_back()
        if self.hot_calls is not None and self._at_beginning:
            found = lane_parser.read(data, self.hot_calls, self.base_path)
            if isinstance(found, PlainRequest):
                return self._begin(found)
            if isinstance(found, Unfinished):
                return self._keep(data, found.size)
        super().dataReceived(data)

    @property
    def _at_beginning(self) -> bool:
        """Whether nothing is under way on this connection: no request, and no byte in either direction."""
        transport = self.transport
        return bool(
            self._HTTPChannel__first_line == 1
            and self.line_mode
            and self.persistent
            and not self._buffer
            and not self._busyReceiving
            and not self.paused
            and not self.requests
            and not self._handlingRequest
            and not self._waitingForTransport
            and not self.refused
            and not self.half_closed
            and not self.factory.server.draining
            and transport.connected
            and not transport.disconnecting
        )

    def _begin(self, request: PlainRequest) -> None:
        if self._ends is None:
            client, server = self.transport.getPeer(), self.transport.getHost()
            self._ends = (client.host, client.port), (server.host, server.port)
        running = LaneRequest(self, self.factory.server, request, self._ends)
        self.requests.append(running)
        self._handlingRequest = True
        # What comes meanwhile is kept by Twisted until the request is done.
        self.setRawMode()
        running.start()
        self._note_phase()

    # -- a head without its body --

    def _keep(self, data: bytes, size: int) -> None:
        self._kept = bytearray(data)
        self._kept_size = size
        self._keeping = twisted_loop.call_later(KEEP_SECONDS, self._pass_on)
        self._note_phase()

    def _taken_back(self) -> bytes:
        assert self._kept is not None
        data, self._kept = bytes(self._kept), None
        self._keeping.cancel()
        return data

    def _pass_on(self) -> None:
        """Have Twisted read what was kept: the rest takes longer, or never comes."""
        if self._kept is not None:
            super().dataReceived(self._taken_back())

    @property
    def _phase(self) -> Phase:
        return super()._phase if self._kept is None else Phase.BODY

    def readConnectionLost(self) -> None:
        """The client will send nothing more: the rest does not come."""
        self._pass_on()
        super().readConnectionLost()

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """The connection has ended."""
        if self._kept is not None:
            self._taken_back()
        super().connectionLost(reason)

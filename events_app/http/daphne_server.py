"""Daphne with back-pressure, a limit of bodies, and ports that can be closed. `serving.server` runs it."""

import asyncio
import socket
from collections.abc import MutableMapping
from typing import Any

# First: it installs the reactor that everything of Twisted must use.
from daphne.server import Server  # isort: skip

from channels.routing import get_default_application
from daphne.http_protocol import HTTPFactory
from django.conf import settings
from django.utils.module_loading import import_string
from twisted.internet import reactor as twisted_reactor

from events_app.fairness.request_gate import ABORT, STREAMED
from events_app.http.body import Bodies
from events_app.http.connections import Connections, Room, most
from events_app.http.lane import LaneChannel
from events_app.http.lane_request import DirectCalls, LaneRequest
from events_app.http.request import LimitedRequest
from events_app.http.stream_answer import LEAVING, TAKE_OVER

# Its module stands for an object that only exists once a loop is chosen.
reactor: Any = twisted_reactor


class Backpressure:
    """A client that does not read: Twisted says when its buffer is full, and when there is room again."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        self.room.set()

    def pauseProducing(self) -> None:
        """The buffer is full."""
        self.room.clear()

    def resumeProducing(self) -> None:
        """There is room."""
        self.room.set()

    stopProducing = resumeProducing


class EventServer(Server):
    """Daphne on a listening socket that was made before.

    Args:
        listening: the socket.
        workers: how many processes share the memory for bodies, this one among them.
    """

    # Requests of the lane that they take are answered without an application.
    direct_calls: DirectCalls | None = None

    def __init__(self, listening: socket.socket, workers: int = 1) -> None:
        # The connections end, each with its next answer; and no request is begun any more.
        self.draining = False
        self.drained = False
        self._ports: list[Any] = []
        self.bodies = Bodies(workers)
        self.open_connections = Connections(most())
        self.direct_calls = import_string(settings.EVENTS_DIRECT_CALLS)
        super().__init__(
            application=get_default_application(),
            # Not opened: Daphne's endpoint for a descriptor knows IPv4 only.
            endpoints=["fd:fileno=-1"],
            signal_handlers=False,
            server_name="",
            # A body is one message: the application has the only copy.
            request_buffer_size=settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1,
        )

        self.endpoints: list[str] = []
        self._listening = listening

    def run(self) -> None:
        """Serve until the reactor is stopped."""
        reactor.callWhenRunning(self._listen)
        super().run()

    def _listen(self) -> None:
        # Twisted has a descriptor of its own of the same socket.
        with self._listening as ours:
            port = reactor.adoptStreamPort(ours.fileno(), ours.family, self.http_factory)
        self.listen_success(port)

    def listen_success(self, port: Any) -> None:
        """Keep the port, so that it can be closed, and have it make limited requests."""
        super().listen_success(port)
        self._ports.append(port)
        factory = self.http_factory
        assert isinstance(factory, HTTPFactory)
        factory.protocol = LaneChannel
        # The channel has a clock of its own.
        factory.timeOut = None
        build = factory.buildProtocol
        base_path = settings.EVENTS_BASE_PATH.encode()
        hot_calls = import_string(settings.EVENTS_HOT_CALLS) if settings.EVENTS_HTTP_LANE else None

        def build_limited(address: Any) -> Any:
            room = self.open_connections.room()
            if room is Room.OVERFULL:
                # The port closes it.
                return None
            protocol = build(address)
            protocol.requestFactory = LimitedRequest
            protocol.hot_calls = hot_calls
            protocol.base_path = base_path
            protocol.registry = self.open_connections
            protocol.turned_away = room is Room.FULL
            return protocol

        factory.buildProtocol = build_limited

    def drain(self) -> None:
        """Accept no connections, and end each with the answer that is under way, or else with the next one."""
        self.draining = True
        for port in self._ports:
            port.stopListening()
        for request in self.connections:
            # Daphne keeps those that have been answered for a while: Twisted has taken their channel from them.
            if isinstance(request, LimitedRequest | LaneRequest) and getattr(
                request, "channel", None
            ):
                request.close_when_answered()

    def kill_all_applications(self) -> Any:
        """Cancel what is under way; Daphne would fail on a request that has not become an application."""
        for details in self.connections.values():
            if "application_instance" not in details:
                details["application_instance"] = done = asyncio.Future[None]()
                done.set_result(None)
        return super().kill_all_applications()

    def timeout_checker(self) -> None:
        """Do not walk over all connections every two seconds: none has a time-out of Daphne's, nor is a WebSocket."""

    async def handle_reply(self, protocol: Any, message: MutableMapping[str, Any]) -> None:
        """Pass a part of an answer on; after a part of a streamed one, wait until its client has read enough.

        Other answers are in memory as a whole: to wait with them would only keep their thread and database connection.
        """
        kind = message["type"]
        if kind == ABORT:
            if protocol.channel is not None:
                protocol.channel.transport.abortConnection()
            return
        if kind == LEAVING:
            protocol.on_leaving(message["call"])
            return
        if kind == TAKE_OVER:
            message["answer"] = protocol.become_stream(message["call"])
            return
        if STREAMED in message.get("headers", ()) and protocol.channel is not None:
            protocol.backpressure = Backpressure()
            protocol.registerProducer(protocol.backpressure, True)
        pressure = getattr(protocol, "backpressure", None)
        ends = kind == "http.response.body" and not message.get("more_body", False)
        # A client that has left took the channel along.
        if pressure and ends and protocol.producer and protocol.channel is not None:
            protocol.unregisterProducer()
        await super().handle_reply(protocol, message)
        # Nor has a request one that has been answered.
        if channel := getattr(protocol, "channel", None):
            channel.written()
        if pressure and not ends:
            await pressure.room.wait()

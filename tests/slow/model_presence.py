"""The model's presence: streams, servers, grace, and turns that a beat finds."""

from collections.abc import Collection, Sequence

from tests.slow.model import Sessions
from tests.slow.model_core import operation
from tests.slow.model_state import Place, Server, Stream, Workstation


class Model(Sessions):
    """Edit sessions, and how long workstations are there to hold them."""

    @operation
    def start(self, server: Server) -> None:
        """A server process begins to serve."""
        self.servers.append(server)
        server.last_beat = self.now

    @operation
    def connect(self, streams: Sequence[Stream]) -> None:
        """Streams are opened on one server."""
        self.streams += streams
        for at in {stream.workstation for stream in streams}:
            at.last_seen = self.now
            self.come_back(at)
            self.touch_sessions([at])

    @operation
    def disconnect(self, streams: Collection[Stream], *, by_client: bool) -> None:
        """Streams of one server end together: by their clients' doing, or the server closes them."""
        self.streams = [stream for stream in self.streams if stream not in streams]
        departed, closed = [], []
        for at in {stream.workstation for stream in streams}:
            left = [stream.number for stream in self.streams if stream.workstation is at]
            latest = max(stream.number for stream in streams if stream.workstation is at)
            if by_client and latest > max(left, default=0):
                departed.append(at)
            elif not left:
                closed.append(at)
        for at in departed:
            at.departed_at = at.last_seen = self.now
            at.departed_by = next(iter(streams)).server
        self._leave([at for at in departed if not self.connected(at)])
        self._wait_for(closed)

    @operation
    def heartbeat(self, server: Server) -> None:
        """The sessions of all that it serves."""
        served = {stream.workstation for stream in self.streams if stream.server is server}
        self.touch_sessions(served)

    @operation
    def stop(self, server: Server) -> None:
        """A clean stop: nobody has departed."""
        server.running = False
        self._wait_for(self._without(server))

    @operation
    def kill(self, server: Server) -> None:
        """Nobody notices yet."""
        server.running = False

    @operation
    def clean_up(self) -> None:
        """Remove what has not beaten for too long."""
        silent = (s for s in self.servers if self.now - s.last_beat > self.server_dead)
        for server in sorted(silent, key=lambda server: server.id):
            gone = self._without(server)
            departed = [
                at
                for at in gone
                if at.departed_at is not None
                and at.departed_at > server.last_beat
                and at.departed_by is not server
            ]
            self._wait_for([at for at in gone if at not in departed])
            self._leave(departed)

    def beat(self) -> None:
        """Whoever runs has just beaten."""
        for server in self.servers:
            if server.running:
                server.last_beat = self.now

    @operation
    def sleep(self, seconds: float) -> None:
        """Time goes by, and nothing is heard of anybody."""
        self.now += seconds

    @operation
    def age(self, at: Workstation) -> None:
        """Nothing was heard of it, which has no stream, for longer than any time-out; the sweeper finds it."""
        self._end(self.held_by([at]), "expired")
        self.tell_lines()
        self.places = [place for place in self.places if place.workstation is not at]

    @operation
    def set_role(self, user: str, role: int) -> None:
        self.users[user].role = role

    @operation
    def time_passes(self) -> None:
        """What a beat does: end the graces that are over, give what is free to whose turn it is."""
        over = self.over()
        self._end(self.held_by(over), "disconnected", leaving=over)
        for at in over:
            at.away_since = at.idle_since = None
        self.tell_lines()
        free = {place.lock for place in self.free_places()}
        granted = self.grant([self.next_in_line(lock) for lock in free])
        self._tell_met(got.session for got in granted)

    def over(self) -> list[Workstation]:
        """Those whose grace is over."""
        return [
            at
            for at in self.workstations.values()
            if at.away_since is not None and self.now - at.away_since > self.grace > 0
        ]

    def free_places(self) -> list[Place]:
        """Those that wait for what nobody has."""
        return [place for place in self.places if place.lock not in self.sessions]

    def _without(self, server: Server) -> list[Workstation]:
        """A server and its streams are gone; return whom it leaves without any."""
        served = {stream.workstation for stream in self.streams if stream.server is server}
        self.streams = [stream for stream in self.streams if stream.server is not server]
        self.servers.remove(server)
        return [at for at in served if not self.connected(at)]

    def _wait_for(self, workstations: Collection[Workstation]) -> None:
        """Their server is gone, they are not."""
        for at in workstations:
            at.departed_at = at.departed_by = at.away_since = None
            at.last_seen = self.now

    def _leave(self, workstations: Collection[Workstation]) -> None:
        if not workstations:
            return
        if self.grace:
            for at in workstations:
                at.away_since = at.departed_at
            self._tell_of(workstations, "edit.session_away")
            return
        self._end(self.held_by(workstations), "disconnected", leaving=workstations)
        for at in workstations:
            at.idle_since = None

"""The state machine, with streams, servers, clocks and the sweeper."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.slow.machine import Machine, ones, paced, rare, workstations
from tests.slow.machine_base import OWNERS, STEP, TIMEOUT
from tests.slow.model_state import EDITOR, VIEWER, Server, Stream, Workstation

# More would only dilute what happens on each.
MOST_SERVERS = 3


def due(condition: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A rule that mostly changes nothing is tried where it does, and now and then where it must not."""
    return precondition(lambda self: condition(self) or self.step % 8 == 1)


class Everything(Machine):
    """What clients, servers and clocks can do."""

    @rule(at=workstations, server=ones)
    def connect(self, at: str, server: int) -> None:
        self._connect([at], server)

    @paced
    @rule(at=st.lists(workstations, min_size=2, max_size=4), server=ones)
    def connect_together(self, at: list[str], server: int) -> None:
        self._connect(at, server)

    @precondition(lambda self: self.open_streams())
    @rule(one=ones)
    def disconnect(self, one: int) -> None:
        streams = self.open_streams()
        self._disconnect([streams[one % len(streams)]], by_client=True)

    @precondition(lambda self: self.model.sessions and self.open_streams())
    @rule(one=ones)
    def holder_leaves(self, one: int) -> None:
        at = self.session(one).workstation
        for stream in [stream for stream in self.open_streams() if stream.workstation is at]:
            self._disconnect([stream], by_client=True)

    @paced
    @precondition(lambda self: self.open_streams())
    @rule(one=ones, several=st.integers(1, 4), by_client=st.booleans())
    def disconnect_together(self, one: int, several: int, by_client: bool) -> None:
        streams = self.open_streams()
        server = streams[one % len(streams)].server
        of_server = [stream for stream in streams if stream.server is server]
        self._disconnect(of_server[:several], by_client=by_client)

    @paced
    @due(lambda self: self.model.stale(STEP))
    @rule(server=ones)
    def heartbeat(self, server: int) -> None:
        one = self.server(server)
        served = {s.workstation for s in self.model.streams if s.server is one}
        expected = self.expect(self.model.heartbeat, one)
        self.driver.heartbeat(one.id, [self.id(at) for at in served])
        self.compare(expected)

    @rare
    @paced
    @precondition(lambda self: len(self.running()) < MOST_SERVERS)
    @rule()
    def start(self) -> None:
        expected = self.expect(self.model.start, Server(self.driver.start(), 0.0))
        self.compare(expected)

    @rare
    @precondition(lambda self: len(self.running()) > 1)
    @rule(server=ones)
    def stop(self, server: int) -> None:
        one = self.server(server)
        expected = self.expect(self.model.stop, one)
        self.driver.stop(one.id)
        self._replace()
        self.compare(expected)

    @rare
    @precondition(lambda self: len(self.running()) > 1)
    @rule(server=ones)
    def kill(self, server: int) -> None:
        one = self.server(server)
        expected = self.expect(self.model.kill, one)
        self.driver.kill(one.id)
        if not self.driver.paced:
            # It was waited for.
            self.driver.slept(self.driver.server_dead + 1)
            self.model.sleep(self.driver.server_dead + 1)
            self.model.beat()
            self.add(expected, self.model.clean_up())
            self._replace()
        self.compare(expected)

    @paced
    @precondition(lambda self: len(self.running()) < len(self.model.servers))
    @rule()
    def clean_up(self) -> None:
        expected = self.expect(self.model.clean_up)
        self.driver.clean_up()
        self.compare(expected)

    @paced
    @rule(steps=st.integers(1, 2))
    def sleep(self, steps: int) -> None:
        expected = self.expect(self.model.sleep, steps * STEP)
        self.driver.sleep(steps * STEP)
        self.compare(expected)

    @paced
    @due(lambda self: self.model.free_places() or self.model.over())
    @rule()
    def time_passes(self) -> None:
        expected = self.expect(self.model.time_passes)
        self.driver.time_passes()
        self.compare(expected)

    @paced
    @due(lambda self: self.model.stale(TIMEOUT))
    @rule()
    def expire(self) -> None:
        expected = self.expect(self.model.expire, TIMEOUT)
        self.driver.expire(TIMEOUT)
        self.compare(expected)

    @paced
    @due(lambda self: self.model.idle(TIMEOUT))
    @rule()
    def expire_idle(self) -> None:
        expected = self.expect(self.model.expire_idle, TIMEOUT)
        self.driver.expire_idle(TIMEOUT)
        self.compare(expected)

    @paced
    @due(lambda self: self.model.lost(TIMEOUT))
    @rule()
    def lose_places(self) -> None:
        expected = self.expect(self.model.lose_places, TIMEOUT)
        self.driver.lose_places(TIMEOUT)
        self.compare(expected)

    @rare
    @rule(editor=st.booleans())
    def set_role(self, editor: bool) -> None:
        role = EDITOR if editor else VIEWER
        expected = self.expect(self.model.set_role, "bob", role)
        self.driver.set_role("bob", role)
        self.compare(expected)

    @precondition(lambda self: not self.driver.paced and self.silent())
    @rule(one=ones)
    def age(self, one: int) -> None:
        at = self.silent()[one % len(self.silent())]
        expected = self.expect(self.model.age, at)
        self.driver.age(self.id(at))
        self.compare(expected)

    # -- what rules are made of --

    def silent(self) -> list[Workstation]:
        """Those without a stream that have something to lose."""
        some = [one.workstation for one in [*self.model.sessions.values(), *self.model.places]]
        return [at for at in dict.fromkeys(some) if not self.model.connected(at)]

    def _replace(self) -> None:
        """Where only two servers run, another one takes the place of each that ends."""
        if not self.driver.paced:
            self.model.start(Server(self.driver.start(), 0.0))

    def everybody_connects(self) -> None:
        for name in OWNERS:
            self._connect([name], len(name))

    def running(self) -> list[Server]:
        return [server for server in self.model.servers if server.running]

    def server(self, one: int) -> Server:
        return self.running()[one % len(self.running())]

    def open_streams(self) -> list[Stream]:
        """Those of servers that run; of others it is not known yet that they have ended."""
        return [stream for stream in self.model.streams if stream.server.running]

    def _connect(self, names: list[str], server: int) -> None:
        names = [name for name in names if name in self.model.workstations]
        if not names:
            return
        one = self.server(server)
        streams = []
        for name in names:
            self.opened += 1
            streams.append(Stream(self.at(name), one, self.opened))
        expected = self.expect(self.model.connect, streams)
        ids = self.driver.connect(one.id, [self.id(stream.workstation) for stream in streams])
        for stream, pk in zip(streams, ids, strict=True):
            stream.id = pk
        self.compare(expected)

    def _disconnect(self, streams: list[Stream], *, by_client: bool) -> None:
        ended = [(stream.id, self.id(stream.workstation)) for stream in streams]
        expected = self.expect(self.model.disconnect, streams, by_client=by_client)
        self.driver.disconnect(streams[0].server.id, ended, by_client=by_client)
        self.compare(expected)

"""Runs Daphne inside `manage.py serve`: a listening socket of its own, relay and presence beside it, an orderly
stop."""

import asyncio
import atexit
import gc
import itertools
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

# First: it installs the reactor that everything of Twisted must use.
from daphne.server import twisted_loop  # isort: skip

from django.conf import settings
from twisted.internet import reactor as twisted_reactor

from events_app import timings
from events_app.database import sql, start
from events_app.database.notification_thread import NotificationThread
from events_app.database.unavailable import backoff
from events_app.fairness import request_gate
from events_app.http.daphne_server import EventServer
from events_app.http.listening import open_socket
from events_app.presence.backend import backend
from events_app.serving import runtime
from events_app.serving.exit_deadline import END_SECONDS, exit_after
from events_app.serving.workers import Lifeline

logger = logging.getLogger(__name__)

# Its module stands for an object that only exists once a loop is chosen.
reactor: Any = twisted_reactor

# Clients of a server that was restarted come back all at once; the kernel caps it at somaxconn.
BACKLOG: Final = 4096

# The two seconds of a stop: requests that are being answered, streams, the last write, and the rest for requests that
# take longer.
DRAIN_SECONDS: Final = 0.7
CLOSE_STREAMS_SECONDS: Final = 0.5
UNREGISTER_SECONDS: Final = 0.4
ANSWER_SECONDS: Final = 1.7
SEND_SECONDS: Final = 0.3
WRITERS_SECONDS: Final = 0.1
STOP_SECONDS: Final = 1.8

# How long a thread computes on while another one waits for the interpreter. The event loop gives the interpreter away
# with each of its turns and each write to a socket: at Python's 5 ms, two large batches in threads beside it made it
# several times slower. Shorter than this, the switches themselves would cost.
SWITCH_SECONDS: Final = 0.0005

# Seconds idle, between probes, and probes: an idle dead peer is noticed within 25 s.
KEEPALIVE_PROBES: Final = (10, 5, 3)


def reserved_port(host: str, port: int) -> socket.socket:
    """Return a socket that keeps a port for workers, and is never connected to, as it does not listen.

    Workers listen beside it, since all of these sockets have SO_REUSEADDR. It does not get a port on which anybody
    listens already: so a second server of the same user, whom SO_REUSEPORT would let in, is refused.

    Args:
        host: the address.
        port: 0 for any free one.

    Raises:
        OSError: the address is in use, or not permitted.
    """
    reserved = open_socket(host)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind((host, port))
    except OSError:
        reserved.close()
        raise
    return reserved


def listening_socket(
    host: str, port: int, configured: timings.Timings, *, shared: bool = False
) -> socket.socket:
    """Return a listening socket whose connections notice a dead peer.

    Accepted sockets inherit the options. TCP keep-alive finds a peer that dies while nothing is being sent;
    with data under way its probes pause, and TCP_USER_TIMEOUT finds it.

    Args:
        host: the address.
        port: 0 for any free one.
        configured: say after how long a peer counts as dead.
        shared: whether other processes of this user may listen on the same port. Each connection is then one's or the
            other's, by a hash of both addresses and ports.

    Raises:
        OSError: the address is in use, or not permitted.
    """
    listening = open_socket(host)
    try:
        idle, interval, count = KEEPALIVE_PROBES
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", idle),
            ("TCP_KEEPINTVL", interval),
            ("TCP_KEEPCNT", count),
            ("TCP_USER_TIMEOUT", int(configured.user_timeout * 1000)),
        ):
            # Not every system has every one. Where one is missing, a dead peer is only found with `ack=true`.
            if hasattr(socket, name):
                listening.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def most_connections() -> int:
    """Return how many connections to PostgreSQL one server may have: the pool, the relay, each notified cache, and one
    for moments."""
    return int(settings.EVENTS_CONNECTION_POOL["max_size"]) + 2 + len(backend().caches)


def connections_allowed() -> int:
    """Return how many connections PostgreSQL allows to users who are no superusers.

    Raises:
        django.db.Error: the database cannot be asked.
    """
    return int(sql.setting("max_connections")) - int(sql.setting("superuser_reserved_connections"))


def raise_open_files_limit() -> None:
    """Allow as many open streams as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Service:
    """One serving process, from its first request to its last.

    Args:
        listening: the socket.
        workers: how many processes share the machine's bounds, this one among them.
        lifeline: of a worker, which ends when it is closed.
        migrated: whether the database was looked at, and is there. If not, it is waited for.
    """

    def __init__(
        self,
        listening: socket.socket,
        workers: int = 1,
        lifeline: Lifeline | None = None,
        *,
        migrated: bool = False,
    ) -> None:
        self.exit_code = 0
        self._migrated = migrated
        self._runtime = runtime.start(listening.getsockname()[1])
        self._server = EventServer(listening, workers)
        self._lifeline = lifeline
        self._tasks: list[asyncio.Task[None]] = []
        self._notifications = [NotificationThread(cache) for cache in backend().caches]
        self._waiting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._signalled = False
        # Before anybody is told that it listens: from here on a signal stops it in order, once the loop runs.
        for number in (signal.SIGTERM, signal.SIGINT):
            twisted_loop.add_signal_handler(number, self._on_signal, number)

    def run(self) -> int:
        """Serve until a signal; return the exit code."""
        sys.setswitchinterval(SWITCH_SECONDS)
        reactor.callWhenRunning(self._start)
        if self._lifeline:
            self._lifeline.watch(self._on_lifeline_closed)
        self._server.run()
        for number in (signal.SIGTERM, signal.SIGINT):
            # The loop's own handlers do nothing any more.
            signal.signal(number, lambda again, _: os._exit(128 + again))
        return self.exit_code

    def _start(self) -> None:
        # Collections of garbage would look at all that was loaded again and again.
        gc.collect()
        gc.freeze()
        self._run_for_ever(self._runtime.keep_alives.run)
        if self._migrated:
            self._start_work()
        else:
            self._waiting = twisted_loop.create_task(self._wait_for_database())
            self._waiting.add_done_callback(self._on_end_of_task)

    async def _wait_for_database(self) -> None:
        """Start the work as soon as there is a database; stop if it is not migrated."""
        wait = start.Wait("server")
        for attempt in itertools.count(1):
            try:
                await asyncio.to_thread(start.look)
            except start.Unreachable as error:
                self._runtime.database_missing = str(error)
                pause = backoff(attempt)
                wait.log(error, pause)
                await asyncio.sleep(pause)
            except start.NotMigrated as error:
                logger.critical("the server stops: %s", error)
                self.exit_code = start.EXIT_CODE
                self._begin_stop()
                return
            else:
                break
        if not self._stopping:
            self._migrated = True
            self._runtime.database_missing = ""
            self._start_work()

    def _start_work(self) -> None:
        presence, relay = self._runtime.presence, self._runtime.relay
        for thread in self._notifications:
            thread.start()
        for loop in (
            relay.run,
            relay.notify_loop,
            presence.write_loop,
            presence.tick_loop,
            presence.beat_loop,
            presence.housekeeping_loop,
            presence.remainder_loop,
            presence.heartbeat_loop,
        ):
            self._run_for_ever(loop)

    def _run_for_ever(self, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = twisted_loop.create_task(loop(), name=loop.__qualname__)
        task.add_done_callback(self._on_end_of_task)
        self._tasks.append(task)

    def _on_end_of_task(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self._stopping:
            return
        if task is self._waiting and not task.exception():
            return
        # Without this task streams would be open and no workstation kept present: better to be restarted.
        logger.critical(
            "task %s ended; the server stops", task.get_name(), exc_info=task.exception()
        )
        self.exit_code = 1
        self._begin_stop()

    def _on_signal(self, number: signal.Signals) -> None:
        if self._signalled:
            logger.warning("second signal: exiting at once")
            os._exit(128 + number)
        self._signalled = True
        self._begin_stop()
        logger.info("server stopping", extra={"signal": number.name})

    def _on_lifeline_closed(self) -> None:
        """In a thread: the loop may be what does not go on."""
        if not self._stopping:
            exit_after(STOP_SECONDS, self.exit_code)
            twisted_loop.call_soon_threadsafe(self._begin_stop)
            logger.info("server stopping", extra={"pid": os.getpid()})

    def _begin_stop(self) -> None:
        if not self._stopping:
            exit_after(STOP_SECONDS, self.exit_code)
            self._stopping = twisted_loop.create_task(self._stop())

    async def _stop(self) -> None:
        presence = self._runtime.presence
        answered_by = twisted_loop.time() + ANSWER_SECONDS
        try:
            # First of all: from here on no end of a stream is a departure.
            presence.stopping = True
            self._server.drain()
            await _until(lambda: request_gate.in_flight == 0, DRAIN_SECONDS)
            for stream in list(presence.streams.values()):
                stream.close("the server stops")
            await _until(lambda: not presence.streams, CLOSE_STREAMS_SECONDS)
            if self._migrated:  # else there is no row of this process
                async with asyncio.timeout(UNREGISTER_SECONDS):
                    await presence.stop()
            await self._finish_requests(answered_by)
        except TimeoutError:
            logger.warning(
                "the database did not answer in time; another server process will clean up after this one"
            )
        except Exception:
            logger.exception("the stop failed")
            self.exit_code = 1
            exit_after(STOP_SECONDS, self.exit_code)
        finally:
            self._server.drained = True
            # Threads are waited for first; those that wait for something that never comes are left behind.
            atexit.register(exit_after, END_SECONDS, self.exit_code)
            for thread in self._notifications:
                thread.stop()
            for task in (*self._tasks, self._waiting):
                if task:
                    task.cancel()
            reactor.stop()

    async def _finish_requests(self, by: float) -> None:
        """Wait until every request that has begun is answered, and the answers are sent, at most until then."""
        await _until(lambda: request_gate.in_flight == 0, by - twisted_loop.time())
        self._server.drained = True
        # One may have begun in this very turn of the loop.
        await asyncio.sleep(0)
        await _until(lambda: request_gate.in_flight == 0, by - twisted_loop.time())
        # A client that does not read does not delay the stop for long.
        await _until(lambda: not reactor.getWriters(), min(SEND_SECONDS, by - twisted_loop.time()))
        # Their requests are answered, unless the database hangs.
        closing = [asyncio.ensure_future(writer.close()) for writer in backend().writers]
        if closing:
            await asyncio.wait(closing, timeout=WRITERS_SECONDS)


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition, at most so long."""
    deadline = twisted_loop.time() + seconds
    while not condition() and twisted_loop.time() < deadline:  # noqa: ASYNC110  (for under a second)
        await asyncio.sleep(0.01)

"""Several server processes on one port: `manage.py serve --workers N` starts them, starts one anew that has ended, and
ends with them.

The process that the user starts only watches. Each worker is a `serve` like any other, with a registration, a relay and
connections of its own, and a listening socket of its own on the common port (SO_REUSEPORT): the kernel spreads new
connections over these. Between the watching process and each worker is a pair of sockets, the *lifeline*. A worker says
on it that it listens, and stops in order when the other end is closed: so closing it is how a worker is told to stop,
and the kernel closes it also where the watching process was killed. No signal is forwarded: systemd, and a terminal at
Ctrl-C, send theirs to the workers too, and a worker takes a second one for the order to leave at once.
"""

import logging
import os
import selectors
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Final

logger = logging.getLogger(__name__)

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# A worker ends two seconds after it was told to, by itself. This is for one that the kernel does not let run.
KILL_AFTER_SECONDS: Final = 8.0
# The exit code of a worker with a wrong configuration, or whose database is not migrated.
EX_CONFIG: Final = os.EX_CONFIG
# Of a worker that has just closed its lifeline.
REAP_SECONDS: Final = 2.0
# Pauses before a worker that ended soon after its start is started anew.
RESTART_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# The first pause again after a worker that ran for so long.
STEADY_SECONDS: Final = 60.0

_LISTENS: Final = b"l"


class Lifeline:
    """A worker's end of the lifeline.

    Args:
        descriptor: as it was inherited.
    """

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.set_inheritable(False)

    def say_listening(self) -> None:
        """Say that this worker can be connected to."""
        # Where nobody hears it any more, `watch` finds that out.
        with suppress(OSError):
            self._socket.send(_LISTENS)

    def watch(self, closed: Callable[[], None]) -> None:
        """Call a function, in a thread of its own, when the other end is closed."""

        def wait() -> None:
            with suppress(OSError):
                while self._socket.recv(1):
                    pass
            closed()

        threading.Thread(target=wait, name="lifeline", daemon=True).start()


@dataclass(eq=False)
class _Worker:
    """A worker that was started; `early` counts those before it that ended soon after their start."""

    process: "subprocess.Popen[bytes]"
    lifeline: socket.socket
    started_at: float
    early: int
    listens: bool = False


class Workers:
    """The workers, seen from the process that starts them.

    Args:
        count: how many there are.
        command: how one is started; `--worker` with the descriptor of its lifeline is put behind it.
        listening: called once, when each of them can be connected to.
    """

    def __init__(self, count: int, command: Sequence[str], listening: Callable[[], None]) -> None:
        self._count = count
        self._command = command
        self._listening = listening
        self._announced = False
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        # When to start one anew, and its `early`.
        self._restarts: list[tuple[float, int]] = []
        self._failure = 0

    def run(self) -> int:
        """Keep them running until a signal, then stop them all.

        Returns:
            The exit code: 0 if each has stopped in order. That of a worker which ended before all had started, or that
            was the last one and ended with `EX_CONFIG`: what keeps it from starting would keep the next one, too.
        """
        with self._selector, _StopSignals(self._selector) as signals:
            for _ in range(self._count):
                self._start(early=0)
            while not signals.came and not self._failure:
                self._wait(self._until_restart())
                self._start_anew()
            if signals.came:
                logger.info("workers stopping", extra={"signal": signals.came[0].name})
            return self._stop(signals)

    def _start(self, early: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [*self._command, "--worker", str(theirs.fileno())]
            try:
                process = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: S603
            except OSError:
                ours.close()
                raise
        worker = _Worker(process, ours, time.monotonic(), early)
        self._workers.append(worker)
        self._selector.register(ours, selectors.EVENT_READ, worker)
        logger.info("worker started", extra={"pid": process.pid})

    def _until_restart(self) -> float | None:
        if not self._restarts:
            return None
        return max(min(self._restarts)[0] - time.monotonic(), 0.0)

    def _start_anew(self) -> None:
        now = time.monotonic()
        due = [restart for restart in self._restarts if restart[0] <= now]
        self._restarts = [restart for restart in self._restarts if restart[0] > now]
        for _, early in due:
            try:
                self._start(early)
            except OSError as error:
                # The machine has no process or descriptor left for it; the other workers go on.
                logger.warning("worker could not be started", extra={"error": error})
                self._restarts.append((now + RESTART_SECONDS[-1], early))

    def _wait(self, seconds: float | None) -> None:
        """Wait for a signal, or for something that a worker says or that happens to it."""
        for key, _ in self._selector.select(seconds):
            if isinstance(key.data, _Worker):
                self._hear(key.data)
            else:
                key.data()

    def _hear(self, worker: _Worker) -> None:
        if not _said(worker.lifeline):
            self._ended(worker)
            return
        worker.listens = True
        if not self._announced and all(each.listens for each in self._workers):
            self._announced = True
            self._listening()

    def _ended(self, worker: _Worker) -> None:
        code = self._reap(worker, REAP_SECONDS)
        misconfigured = code == EX_CONFIG
        if not self._announced or (misconfigured and not self._workers):
            # The worker has said why, and another one would say the same.
            self._failure = code if code > 0 else 1
            return
        lived = time.monotonic() - worker.started_at
        early = 0 if lived >= STEADY_SECONDS else worker.early + 1
        # During an upgrade the others serve on with what they have loaded, until there is a person.
        last = len(RESTART_SECONDS) - 1
        pause = RESTART_SECONDS[last if misconfigured else min(max(early - 1, 0), last)]
        self._restarts.append((time.monotonic() + pause, early))
        logger.warning(
            "worker ended; another one is started",
            extra={"pid": worker.process.pid, "exit_code": code, "pause_seconds": pause},
        )

    def _stop(self, signals: "_StopSignals") -> int:
        """Tell all to stop and wait for their ends; at a second signal kill them and leave at once."""
        for worker in self._workers:
            with suppress(OSError):
                worker.lifeline.shutdown(socket.SHUT_WR)
            if not worker.listens:
                # It still loads, serves nobody, and would look at its lifeline later.
                worker.process.terminate()
        code = self._failure
        deadline = time.monotonic() + KILL_AFTER_SECONDS
        while self._workers:
            left = deadline - time.monotonic()
            if left <= 0:
                logger.warning(
                    "workers did not stop in time; killed", extra={"workers": len(self._workers)}
                )
                break
            for key, _ in self._selector.select(left):
                if not isinstance(key.data, _Worker):
                    key.data()
                elif not _said(key.data.lifeline):
                    ended = self._reap(key.data, max(deadline - time.monotonic(), 0.0))
                    code = code or (0 if _in_order(ended) else 1)
            if len(signals.came) > 1:
                logger.warning("second signal: exiting at once")
                self._kill()
                os._exit(128 + signals.came[1])
        return self._kill() or code

    def _kill(self) -> int:
        """Kill those that are left; return the exit code for it."""
        left = list(self._workers)
        for worker in left:
            worker.process.kill()
        for worker in left:
            self._reap(worker, REAP_SECONDS)
        return 1 if left else 0

    def _reap(self, worker: _Worker, within: float) -> int:
        """Forget a worker that has closed its lifeline, and return its exit code; kill it if it does not end."""
        self._selector.unregister(worker.lifeline)
        self._workers.remove(worker)
        with worker.lifeline, suppress(subprocess.TimeoutExpired):
            return worker.process.wait(within)
        worker.process.kill()
        return -signal.SIGKILL


class _StopSignals:
    """Notes the signals that end a process, and has each wake up a selector, inside of its block.

    Args:
        selector: gets a socket whose `data` is to be called when there is something to read.
    """

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self.came: list[signal.Signals] = []
        self._selector = selector
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_StopSignals":
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._selector.register(self._reader, selectors.EVENT_READ, self._drain)
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._reader.close()
        self._writer.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came.append(signal.Signals(number))

    def _drain(self) -> None:
        with suppress(BlockingIOError):
            self._reader.recv(4096)


def _said(lifeline: socket.socket) -> bytes:
    """Return the byte that a worker has sent; none when it has ended."""
    with suppress(ConnectionError):
        return lifeline.recv(1)
    return b""


def _in_order(code: int) -> bool:
    """Return whether a worker that was told to stop did so, or had got the signal before it could do so in order."""
    return code == 0 or code in {
        value for number in STOP_SIGNALS for value in (-number, 128 + number)
    }

"""The shop: starts the engineers one after the other, starts them again after a crash, and ends all of them.

It forks them, with the client loaded: they share its memory. So this process has no threads.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any

from demo.engineer import Engineer, Place
from demo.news import News
from demo.people import Person, person

# A start costs a third of a second of one core, most of it in the process of the event stream.
START_SECONDS = 0.8
RESTART_SECONDS = 8.0
LOOK_SECONDS = 0.1
END_SECONDS = 2.0
READ_AT_ONCE = 65536


class Lines:
    """Cuts what is read from a pipe into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, chunk: bytes) -> Iterator[dict[str, Any]]:
        """Yield the JSON object of each line that is complete now."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        yield from (json.loads(line) for line in lines)


class Life:
    """What the shop knows of an engineer."""

    def __init__(self, who: Person, start_at: float) -> None:
        self.person = who
        self.start_at = start_at
        self.lives = 0
        self.done = 0
        self.pid = 0
        self.helper = 0


class Shop:
    """See the module.

    Args:
        url: the server.
        engineers, watcher: the tokens, of the engineers by account.
        seed: of all random numbers.
        folder: where each engineer's machine has its files.
    """

    def __init__(
        self, url: str, engineers: Mapping[str, str], watcher: str, seed: str, folder: Path
    ) -> None:
        self._url = url
        self._tokens = engineers
        self._watcher = watcher
        self._seed = seed
        self._folder = folder
        begin = time.monotonic()
        self._lives = [
            Life(person(number), begin + number * START_SECONDS) for number in range(len(engineers))
        ]
        self._reports, self._tell = os.pipe()
        self._open, self._close = os.pipe()
        self._news = News(_print)
        self._stopped = False

    def run(self) -> None:
        """Work until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        watch = self._start_watch()
        try:
            self._follow(watch)
        finally:
            watch.kill()
            watch.communicate()
            self._end()

    def _stop(self, *_: Any) -> None:
        self._stopped = True

    def _start_watch(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", "silo_client.cli", "watch", "--json"],
            env={**os.environ, "SILO_URL": self._url, "SILO_TOKEN": self._watcher},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _follow(self, watch: "subprocess.Popen[bytes]") -> None:
        assert watch.stdout is not None
        events = watch.stdout.fileno()
        lines = {self._reports: Lines(), events: Lines()}
        with DefaultSelector() as selector:
            for pipe in lines:
                selector.register(pipe, EVENT_READ)
            while not self._stopped:
                ready = selector.select(LOOK_SECONDS)
                # Reports first: a session's end is told after its reason.
                for key, _ in sorted(ready, key=lambda one: one[0].fd != self._reports):
                    chunk = os.read(key.fd, READ_AT_ONCE)
                    if not chunk:
                        selector.unregister(key.fd)
                    for line in lines[key.fd].add(chunk):
                        self._take(line)
                self._look_after_engineers()
                self._news.summary()

    def _take(self, line: dict[str, Any]) -> None:
        if "event" in line:
            self._news.happened(line["event"], line["data"])
            return
        life = self._lives[line["number"]]
        life.done = line["done"]
        if line["what"] == "starts":
            life.helper = line["helper"]
        self._news.told(line)

    def _look_after_engineers(self) -> None:
        for life in self._lives:
            if life.pid and os.waitpid(life.pid, os.WNOHANG)[0]:
                life.pid = 0
                life.start_at = time.monotonic() + RESTART_SECONDS
        due = (life for life in self._lives if not life.pid and life.start_at <= time.monotonic())
        # One at a time: after a break of this machine all of them are due.
        if (first := next(due, None)) is not None:
            self._start(first)

    def _start(self, life: Life) -> None:
        state = self._folder / life.person.machine
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = self._tokens[life.person.user]
        place = Place(self._url, token, self._seed, state, self._tell, self._open)
        life.pid = os.fork()
        if life.pid == 0:
            self._be(Engineer(life.person, place, life.lives, life.done))
        life.lives += 1

    def _be(self, engineer: Engineer) -> None:
        """Be an engineer, in a forked child."""
        code = 1
        try:
            # Not of the terminal's group: the shop tells when it closes.
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            os.close(self._close)
            engineer.run()
            code = 0
        finally:
            os._exit(code)

    def _end(self) -> None:
        """Have all engineers leave; kill those that do not."""
        os.close(self._close)
        end = time.monotonic() + END_SECONDS
        while (left := self._left()) and time.monotonic() < end:
            time.sleep(LOOK_SECONDS / 2)
        for life in left:
            with suppress(ProcessLookupError):
                os.kill(life.pid, signal.SIGKILL)
            os.waitpid(life.pid, 0)
        # That of a crash a moment ago would go on trying to tell the server.
        for life in self._lives:
            if is_helper(life.helper):
                with suppress(ProcessLookupError):
                    os.kill(life.helper, signal.SIGKILL)

    def _left(self) -> list[Life]:
        for life in self._lives:
            if life.pid and os.waitpid(life.pid, os.WNOHANG)[0]:
                life.pid = 0
        return [life for life in self._lives if life.pid]


def is_helper(pid: int) -> bool:
    """Say whether this process is one that keeps an event stream: it may have ended, and its number be another's."""
    try:
        return b"silo_client.helper" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _print(line: str) -> None:
    with suppress(OSError):  # whoever read it is gone
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

"""One client of the random traffic, a process of its own; `line_client.py` runs it, with a PLAN in JSON.

Does random things by its seed until it is killed, and writes what it did and what it got, one JSON line each. It
knows HTTP only.
"""

import contextlib
import http.client
import itertools
import json
import os
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.sse import COMMENT, events

# What closing a socket does then: a reset instead of a farewell.
RESET = struct.pack("ii", 1, 0)
SILENCE_SECONDS = 2.5
RACE_SECONDS = 0.5
LEVELS = ("sketch", "partdesign")
OBJECTS = ("", "Pad", "Pocket")

numbers = itertools.count()


def tell(what: str, *more: Any) -> None:
    """Write one line, which a kill either leaves whole or leaves out."""
    line = json.dumps([what, time.monotonic(), *more])
    os.write(1, f"{line}\n".encode())


class Plan:
    """What the test wants of this client."""

    def __init__(self, text: str) -> None:
        plan = json.loads(text)
        self.seed: str = plan["seed"]
        self.token: str = plan["token"]
        self.admin_token: str = plan["admin_token"]
        self.workstation: str | None = plan["workstation"]
        self.query: str = urlencode(plan["query"], doseq=True)
        self.items: dict[str, str] = plan["items"]
        # A steady client never ends a stream by itself.
        self.steady: bool = plan["steady"]
        self.last_event_id: str = plan["last_event_id"]
        self._addresses = Path(plan["addresses"])
        # Called with name and data of every event.
        self.heard: Callable[[str, Any], None] = lambda name, data: None

    def connection(self, dice: random.Random, timeout: float | None) -> http.client.HTTPConnection:
        """Return a connection to any of the servers, not yet made."""
        address = urlsplit(dice.choice(json.loads(self._addresses.read_text())))
        assert address.hostname
        return http.client.HTTPConnection(address.hostname, address.port, timeout=timeout)


class Stream(threading.Thread):
    """One event stream, read in a thread of its own."""

    def __init__(self, plan: Plan, dice: random.Random, last_event_id: str) -> None:
        super().__init__(daemon=True)
        self.number = next(numbers)
        self.position = ""
        self.connection_id: str | None = None
        self.opened = threading.Event()
        self.plan = plan
        self._brought = last_event_id
        self._http = plan.connection(dice, None if plan.steady else SILENCE_SECONDS)
        self._by_client = False
        self._socket: socket.socket | None = None
        tell("stream", self.number, last_event_id)
        self.start()

    def run(self) -> None:
        try:
            self._read()
        except TimeoutError:
            self._by_client = True
        except (OSError, http.client.HTTPException):
            pass
        finally:
            # Told first, so that what it causes does not seem to come before it.
            tell("end", self.number, self._by_client)
            self._http.close()
            self.opened.set()

    def leave(self, *, reset: bool) -> None:
        """End it, with a farewell or a reset."""
        self._by_client = True
        tell("end", self.number, True)
        if self._socket is not None:
            with contextlib.suppress(OSError):  # It has ended by itself.
                if reset:
                    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                # Nothing goes over the wire by this, but the reader wakes up and closes.
                self._socket.shutdown(socket.SHUT_RD)
        self.join()

    def _read(self) -> None:
        headers = {"Authorization": f"Bearer {self.plan.token}"}
        if self._brought:
            headers["Last-Event-ID"] = self._brought
        self._http.connect()
        self._socket = self._http.sock
        self._http.request("GET", f"/api/events?{self.plan.query}", headers=headers)
        response = self._http.getresponse()
        with response:
            if response.status != 200:
                return
            for event in events(response):
                if event == COMMENT:
                    continue
                data = event.data
                if event.name == "stream-open":
                    self.connection_id = data["connection_id"]
                    self.opened.set()
                self.position = event.id or self.position
                tell("event", self.number, event.name, event.id, data)
                self.plan.heard(event.name, data)


class Watch(threading.Thread):
    """Keeps a stream open, restlessly or steadily, and resumes where it was."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(daemon=True)
        self.stream: Stream | None = None
        self.plan = plan
        self.dice = random.Random(f"{plan.seed} watch")
        self._position = plan.last_event_id

    @property
    def connection_id(self) -> str | None:
        return self.stream.connection_id if self.stream else None

    def run(self) -> None:
        dice = self.dice
        stream = self._open()
        while True:
            stream.join(None if self.plan.steady else dice.uniform(0.3, 8))
            self._position = stream.position or self._position
            manner = dice.choice(["move", "move", "visit", "visit", "close", "reset", "away"])
            if stream.is_alive() and manner in {"move", "visit"}:
                # Two at once, mostly: then the older one goes, or the newer one.
                other = self._open()
                other.opened.wait(dice.choice([SILENCE_SECONDS, 0.02]))
                leaves, stream = (stream, other) if manner == "move" else (other, stream)
                self.stream = stream
                leaves.leave(reset=dice.random() < 0.5)
                continue
            if stream.is_alive():
                stream.leave(reset=manner == "reset")
                self._position = stream.position or self._position
            self.stream = None
            time.sleep(dice.uniform(1, 5) if manner == "away" else dice.uniform(0.02, 0.3))
            stream = self._open()

    def _open(self) -> Stream:
        cursor = self._position
        if (chance := self.dice.random()) < 0.03:
            epoch = cursor.partition("-")[0]
            cursor = self.dice.choice(["nonsense", "0badc0de-1", f"{epoch}-987654321"])
        elif chance < 0.1:
            cursor = ""
        self.stream = Stream(self.plan, self.dice, cursor)
        return self.stream


class Worker:
    """Calls the API at random."""

    def __init__(self, plan: Plan, watch: Watch) -> None:
        self.plan = plan
        self.watch = watch
        self.dice = random.Random(f"{plan.seed} work")
        self.own: dict[str, str] = {}
        self.others: dict[str, str] = {}
        self.acts: dict[Callable[[], None], float] = {
            self.acquire: 50,
            self.release: 24,
            self.list_item: 8,
            self.list_all: 4,
            self.force_release: 2,
        }

    def run(self) -> None:
        """Work until killed."""
        acts, weights = list(self.acts), list(self.acts.values())
        while True:
            time.sleep(min(self.dice.expovariate(4), 2))
            if self.dice.random() < 0.5:
                # Together with others, so that they race: all processes have one clock.
                time.sleep(-time.monotonic() % RACE_SECONDS)
            self.dice.choices(acts, weights)[0]()

    def acquire(self) -> None:
        part = self.dice.choice(list(self.plan.items))
        body = self.caller() | self.wanted(part)
        request = body | {"item_id": self.plan.items[part]}
        self.note(part, *self.call("acquire", request, "POST", path_of(part), body))

    def caller(self) -> dict[str, Any]:
        """Return who asks."""
        body: dict[str, Any] = {"workstation_id": self.plan.workstation}
        if self.dice.random() < 0.7 and (connection_id := self.watch.connection_id):
            body["connection_id"] = connection_id
        return body

    def wanted(self, part: str) -> dict[str, Any]:
        """Return what of a part somebody may want."""
        return {
            "context_level": self.dice.choice(LEVELS),
            "object_id": self.dice.choice(OBJECTS),
        }

    def note(self, part: str, status: int, answer: Any) -> None:
        """Remember a session that was got, or is somebody else's."""
        if status == 200:
            self.own[answer["session_id"]] = part
        elif holder := answer.get("holder"):
            self.others[holder["session_id"]] = part

    def release(self) -> None:
        if self.own:
            session, part = self.dice.choice(list(self.own.items()))
            status, _ = self.call(
                "release", {"session_id": session}, "DELETE", f"{path_of(part)}/{session}"
            )
            # Now and then it is asked a second time.
            if status in {204, 404} and self.dice.random() < 0.9:
                del self.own[session]

    def force_release(self) -> None:
        if self.others:
            session, part = self.others.popitem()
            path = f"{path_of(part)}/{session}/force-release"
            body, token = {"reason": "random"}, self.plan.admin_token
            self.call("force_release", {"session_id": session}, "DELETE", path, body, token)

    def list_item(self) -> None:
        part, item = self.dice.choice(list(self.plan.items.items()))
        self.call("list", {"item_id": item}, "GET", path_of(part))

    def list_all(self) -> None:
        self.call("list", {"item_id": None}, "GET", "/api/edit-sessions?all=true&limit=1000")

    def call(
        self, kind: str, request: Any, method: str, path: str, body: Any = None, token: str = ""
    ) -> tuple[int, Any]:
        number = next(numbers)
        connection = self.plan.connection(self.dice, self.dice.choice([1.0, 3.0, 8.0]))
        tell("call", number, kind, request)
        try:
            try:
                connection.connect()
            except OSError:
                tell("answer", number, 0, {})
                return 0, {}
            headers = {
                "Authorization": f"Bearer {token or self.plan.token}",
                "Content-Type": "application/json",
            }
            connection.request(method, path, json.dumps(body) if body else None, headers)
            if self.dice.random() < 0.04:
                time.sleep(self.dice.uniform(0, 0.03))
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return 0, {}
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            return 0, {}
        finally:
            connection.close()
        answer = json.loads(text) if text else {}
        tell("answer", number, response.status, answer)
        return response.status, answer


def path_of(part_number: str) -> str:
    return f"/api/items/{quote(part_number, safe='')}/edit-sessions"


def main(worker: type[Worker]) -> None:
    """Be a client: `argv` has the plan."""
    plan = Plan(sys.argv[1])
    watch = Watch(plan)
    works = worker(plan, watch)
    watch.start()
    if plan.workstation:
        works.run()
    watch.join()

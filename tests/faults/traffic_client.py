"""One client of the random traffic, a process of its own: `traffic_client.py PLAN`, where PLAN is JSON.

Does random things by its seed until it is killed, and writes what it did and what it got, one JSON line each. It
knows HTTP only, and parses streams itself, so that what is told is what was on the wire.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

# What closing a socket does then: a reset instead of a farewell.
RESET = struct.pack("ii", 1, 0)
SILENCE_SECONDS = 2.5
RACE_SECONDS = 0.5
LEVELS = ("sketch", "partdesign")
OBJECTS = ("", "Pad")

_numbers = itertools.count()


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

    def connection(self, dice: random.Random, timeout: float | None) -> http.client.HTTPConnection:
        """Return a connection to any of the servers, not yet made."""
        address = urlsplit(dice.choice(json.loads(self._addresses.read_text())))
        assert address.hostname
        return http.client.HTTPConnection(address.hostname, address.port, timeout=timeout)


class Stream(threading.Thread):
    """One event stream, read in a thread of its own."""

    def __init__(self, plan: Plan, dice: random.Random, last_event_id: str) -> None:
        super().__init__(daemon=True)
        self.number = next(_numbers)
        self.position = ""
        self.connection_id: str | None = None
        self.opened = threading.Event()
        self._plan = plan
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
        headers = {"Authorization": f"Bearer {self._plan.token}"}
        if self._brought:
            headers["Last-Event-ID"] = self._brought
        self._http.connect()
        self._socket = self._http.sock
        self._http.request("GET", f"/api/events?{self._plan.query}", headers=headers)
        response = self._http.getresponse()
        with response:
            if response.status != 200:
                return
            for name, event_id, data in _events(response):
                if name == "stream-open":
                    self.connection_id = data["connection_id"]
                    self.opened.set()
                self.position = event_id or self.position
                tell("event", self.number, name, event_id, data)


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, str, Any]]:
    fields: dict[str, str] = {}
    while line := response.readline():
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
        elif fields:
            if "data" in fields:
                yield fields["event"], fields.get("id", ""), json.loads(fields["data"])
            fields = {}


class Watch(threading.Thread):
    """Keeps a stream open, restlessly or steadily, and resumes where it was."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(daemon=True)
        self.stream: Stream | None = None
        self._plan = plan
        self._dice = random.Random(f"{plan.seed} watch")
        self._position = plan.last_event_id

    @property
    def connection_id(self) -> str | None:
        return self.stream.connection_id if self.stream else None

    def run(self) -> None:
        dice = self._dice
        stream = self._open()
        while True:
            stream.join(None if self._plan.steady else dice.uniform(0.3, 8))
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
        if (chance := self._dice.random()) < 0.03:
            epoch = cursor.partition("-")[0]
            cursor = self._dice.choice(["nonsense", "0badc0de-1", f"{epoch}-987654321"])
        elif chance < 0.1:
            cursor = ""
        self.stream = Stream(self._plan, self._dice, cursor)
        return self.stream


class Worker:
    """Calls the API at random."""

    def __init__(self, plan: Plan, watch: Watch) -> None:
        self._plan = plan
        self._watch = watch
        self._dice = random.Random(f"{plan.seed} work")
        self._own: dict[str, str] = {}
        self._others: dict[str, str] = {}

    def run(self) -> None:
        """Work until killed."""
        acts = [self.acquire, self.release, self.list_item, self.list_all, self.force_release]
        while True:
            time.sleep(min(self._dice.expovariate(4), 2))
            if self._dice.random() < 0.5:
                # Together with others, so that they race: all processes have one clock.
                time.sleep(-time.monotonic() % RACE_SECONDS)
            self._dice.choices(acts, [50, 24, 8, 4, 2])[0]()

    def acquire(self) -> None:
        part = self._dice.choice(list(self._plan.items))
        body: dict[str, Any] = {
            "workstation_id": self._plan.workstation,
            "context_level": self._dice.choice(LEVELS),
            "object_id": self._dice.choice(OBJECTS),
        }
        if self._dice.random() < 0.7 and (connection_id := self._watch.connection_id):
            body["connection_id"] = connection_id
        request = body | {"item_id": self._plan.items[part]}
        status, answer = self._call("acquire", request, "POST", _path(part), body)
        if status == 200:
            self._own[answer["session_id"]] = part
        elif status == 409 and "holder" in answer:
            self._others[answer["holder"]["session_id"]] = part

    def release(self) -> None:
        if self._own:
            session, part = self._dice.choice(list(self._own.items()))
            status, _ = self._call(
                "release", {"session_id": session}, "DELETE", f"{_path(part)}/{session}"
            )
            # Now and then it is asked a second time.
            if status in {204, 404} and self._dice.random() < 0.9:
                del self._own[session]

    def force_release(self) -> None:
        if self._others:
            session, part = self._others.popitem()
            path = f"{_path(part)}/{session}/force-release"
            body, token = {"reason": "random"}, self._plan.admin_token
            self._call("force_release", {"session_id": session}, "DELETE", path, body, token)

    def list_item(self) -> None:
        part, item = self._dice.choice(list(self._plan.items.items()))
        self._call("list", {"item_id": item}, "GET", _path(part))

    def list_all(self) -> None:
        self._call("list", {"item_id": None}, "GET", "/api/edit-sessions?all=true&limit=1000")

    def _call(
        self, kind: str, request: Any, method: str, path: str, body: Any = None, token: str = ""
    ) -> tuple[int, Any]:
        number = next(_numbers)
        connection = self._plan.connection(self._dice, self._dice.choice([1.0, 3.0, 8.0]))
        tell("call", number, kind, request)
        try:
            try:
                connection.connect()
            except OSError:
                tell("answer", number, 0, {})
                return 0, {}
            headers = {
                "Authorization": f"Bearer {token or self._plan.token}",
                "Content-Type": "application/json",
            }
            connection.request(method, path, json.dumps(body) if body else None, headers)
            if self._dice.random() < 0.04:
                time.sleep(self._dice.uniform(0, 0.03))
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


def _path(part_number: str) -> str:
    return f"/api/items/{quote(part_number, safe='')}/edit-sessions"


def main() -> None:
    plan = Plan(sys.argv[1])
    watch = Watch(plan)
    watch.start()
    if plan.workstation:
        Worker(plan, watch).run()
    watch.join()


if __name__ == "__main__":
    main()

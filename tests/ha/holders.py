"""Engineers at work during a failover: each holds one lock by `silo_client`, and acquires and releases others."""

import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx

from silo_client import EditSession, Workstation

LEVEL = "sketch"
PART = "A01-0001"
# Nothing may wait longer.
MOST_SECONDS = 30.0
# Between two calls.
PAUSE_SECONDS = 0.1


@dataclass
class Acquired:
    """An answered acquire."""

    session_id: str
    object_id: str
    token: int
    holder: int
    asked_at: float
    answered_at: float
    # When its release was first sent, and whether that was answered.
    released_at: float | None = None
    released: bool = False


class Holder(threading.Thread):
    """One of them. It calls one server, as its client does, and is told of nothing.

    Args:
        url: its server.
        token: of an editor.
        number: which one; each has a workstation of its own.
    """

    def __init__(self, url: str, token: str, number: int) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.acquired: list[Acquired] = []
        # Calls that were answered 503, or not at all: nobody knows what became of them.
        self.unknown = 0
        self.longest = 0.0
        self.faults: list[str] = []
        self.lost: list[str] = []
        # The objects of which its stream has told.
        self.heard: set[str] = set()
        self._ends = threading.Event()
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=MOST_SECONDS
        )
        self.workstation = Workstation.connect(
            url, token, name=f"holder {number}", program=f"holder {number}"
        )
        self.workstation.on_lost = lambda session, how: self.lost.append(f"{session} {how}")
        self.workstation.on_event = self._hear
        self.kept: EditSession = self.workstation.edit(
            PART, level=LEVEL, object_id=f"kept {number}"
        )

    def run(self) -> None:
        """Work until it is ended."""
        numbers = iter(range(10**9))
        while not self._ends.wait(PAUSE_SECONDS):
            try:
                self._pair(f"{self.number} {next(numbers)}")
                self._pair("shared")
            except Exception as fault:
                self.faults.append(repr(fault))

    def end(self) -> None:
        """End it, and its workstation."""
        self._ends.set()
        if self.is_alive():
            self.join()
        self.workstation.close()
        self._http.close()

    def _hear(self, name: str, data: Any) -> None:
        if name == "edit.session_acquired":
            self.heard.add(data["object_id"])

    def _pair(self, object_id: str) -> None:
        body = {
            "workstation_id": self.workstation.id,
            "context_level": LEVEL,
            "object_id": object_id,
        }
        asked_at = time.monotonic()
        answer = self._call("POST", "", body)
        if answer is None or answer.status_code == 409:
            return
        payload = answer.json()
        one = Acquired(
            payload["id"],
            object_id,
            payload["fencing_token"],
            self.number,
            asked_at,
            time.monotonic(),
        )
        self.acquired.append(one)
        while not self._ends.wait(PAUSE_SECONDS):
            one.released_at = one.released_at or time.monotonic()
            answer = self._call("DELETE", f"/{one.session_id}")
            # 404: the release before, of which nobody knew, was carried out.
            one.released = answer is not None
            if one.released:
                return

    def _call(self, method: str, path: str, body: Any = None) -> httpx.Response | None:
        """Return the answer; None where nobody knows what has become of the call."""
        begun = time.monotonic()
        try:
            answer = self._http.request(method, f"/api/items/{PART}/edit-sessions{path}", json=body)
        except httpx.TimeoutException:
            raise
        except httpx.TransportError:
            self.unknown += 1
            return None
        finally:
            self.longest = max(self.longest, time.monotonic() - begun)
        if answer.status_code == 503:
            self.unknown += 1
            return None
        if answer.status_code not in {200, 204, 404, 409}:
            raise AssertionError(f"{method}: {answer.status_code} {answer.text}")
        return answer


def check_exclusion(acquired: list[Acquired]) -> None:
    """Fail where two had one lock at once, or a token was given twice or out of order."""
    by_token: dict[int, str] = {}
    for one in acquired:
        assert by_token.setdefault(one.token, one.session_id) == one.session_id, one
    assert len(by_token) == len({one.session_id for one in acquired})
    shared = sorted(
        (one for one in acquired if one.object_id == "shared"), key=lambda one: one.answered_at
    )
    for before, after in pairwise(shared):
        if before.session_id != after.session_id:
            assert before.token < after.token, (before, after)
            ended = before.released_at
            assert ended is not None, (before, after)
            assert ended < after.answered_at, (before, after)

"""A client of the random traffic that also stands in line, hands over, checks out batches and is idle.

A process of its own: `python -m tests.faults.line_client PLAN`, see `traffic_client.py`.
"""

from typing import Any

from tests.faults.traffic_client import LEVELS, Plan, Watch, Worker, main, numbers, path_of

NODES = ("Sketch", "Pad", "Pocket", "Fillet", "Axis")
# What a client says of how long nobody has touched it: more than a heartbeat, and more than the jitter apart.
IDLE_SECONDS = (2, 20, 40)

Lock = dict[str, str]


class LineWorker(Worker):
    """Does all that can be done."""

    def __init__(self, plan: Plan, watch: Watch) -> None:
        super().__init__(plan, watch)
        plan.heard = self._hear
        self._locks: dict[str, Lock] = {}  # of own sessions
        self._askers: dict[str, str] = {}  # who asked for an own session
        self._places: dict[str, str] = {}  # in line, and on which part
        self._waiting: dict[str, str] = {}  # who else stands where a session of ours is
        self._seen: dict[str, None] = {}  # other workstations
        self.acts |= {
            self.acquire: 30,
            self.batch: 16,
            self.stand: 30,
            self.leave_line: 4,
            self.list_line: 5,
            self.request_handoff: 14,
            self.hand_off: 20,
            self.alive: 10,
        }

    def wanted(self, part: str) -> dict[str, Any]:
        cone = self.dice.sample(NODES, self.dice.randint(0, 3))
        return super().wanted(part) | {"dependency_cone": cone}

    def note(self, part: str, status: int, answer: Any) -> None:
        super().note(part, status, answer)
        if status == 200:
            self._locks[answer["session_id"]] = _lock(answer)

    def batch(self) -> None:
        wanted: list[dict[str, Any]] = []
        for part in self.dice.sample(list(self.plan.items), self.dice.randint(1, 2)):
            for level in self.dice.sample(LEVELS, self.dice.randint(1, len(LEVELS))):
                own = {"context_level": level, "part_number": part}
                wanted.append(self.wanted(part) | own)
        body = self.caller() | {"sessions": wanted}
        known = [one | {"item_id": self.plan.items[one["part_number"]]} for one in wanted]
        status, answer = self.call(
            "batch", body | {"sessions": known}, "POST", "/api/edit-sessions/batch", body
        )
        for session in answer.get("sessions", ()) if status == 200 else ():
            self.note(session["part_number"], 200, session)

    def stand(self) -> None:
        part = self.dice.choice(list(self.plan.items))
        body = self.caller() | self.wanted(part)
        request = body | {"item_id": self.plan.items[part]}
        status, answer = self.call("stand", request, "POST", _line(part), body)
        self.note(part, status, answer)
        if status == 201:
            self._places[answer["request_id"]] = part

    def leave_line(self) -> None:
        if self._places:
            place, part = self.dice.choice(list(self._places.items()))
            path = f"{_line(part)}/{place}"
            status, _ = self.call("leave", {"request_id": place}, "DELETE", path)
            if status in {204, 404} and self.dice.random() < 0.9:
                self._places.pop(place, None)

    def list_line(self) -> None:
        part, item = self.dice.choice(list(self.plan.items.items()))
        status, answer = self.call("list_line", {"item_id": item}, "GET", _line(part))
        for request in answer.get("requests", ()) if status == 200 else ():
            for session, lock in list(self._locks.items()):
                if lock == _lock(request):
                    self._waiting[session] = request["workstation"]["id"]

    def request_handoff(self) -> None:
        if not self.others:
            return
        session, part = self.dice.choice(list(self.others.items()))
        named = self.plan.workstation if self.dice.random() < 0.7 else None
        message = f"please {self.plan.seed} {next(numbers)}"
        body: dict[str, Any] = {"message": message}
        if named:
            body["workstation_id"] = named
        request = {"session_id": session, "message": message, "workstation_id": named}
        path = f"{path_of(part)}/{session}/request-handoff"
        status, _ = self.call("request_handoff", request, "POST", path, body)
        if status not in {0, 202}:
            self.others.pop(session, None)

    def hand_off(self) -> None:
        wishes = {**self._waiting, **self._askers}
        if self._seen and self.dice.random() < 0.2:
            # To anybody, who has not asked.
            wishes = dict.fromkeys(self.own, self.dice.choice(list(self._seen)))
        mine = [session for session in self.own if session in wishes and session in self._locks]
        if not mine:
            return
        session = self.dice.choice(mine)
        part, to = self.own[session], wishes[session]
        request = {"session_id": session, "to_workstation_id": to} | self._locks[session]
        path = f"{path_of(part)}/{session}/handoff"
        status, _ = self.call("handoff", request, "POST", path, {"to_workstation_id": to})
        if status in {200, 404}:
            self.own.pop(session, None)

    def alive(self) -> None:
        idle = self.dice.choice([None, 0, 0, *IDLE_SECONDS])
        body: dict[str, Any] = {} if idle is None else {"idle_seconds": idle}
        if self.dice.random() < 0.3 and (connection_id := self.watch.connection_id):
            body["connection_id"] = connection_id
        workstation = self.plan.workstation
        request = body | {"workstation_id": workstation}
        self.call("alive", request, "POST", f"/api/workstations/{workstation}/alive", body)

    def _hear(self, name: str, data: Any) -> None:
        if name == "edit.session_granted":
            self.note(data["part_number"], 200, data)
        elif name == "edit.handoff_requested" and data["workstation_id"]:
            self._askers[data["session_id"]] = data["workstation_id"]
        elif name == "stream-open":
            for session in data["sessions"]:
                self.note(session["part_number"], 200, session)
        elif name == "edit.session_acquired" and data["workstation"]["id"] != self.plan.workstation:
            self.others[data["session_id"]] = data["part_number"]
            self._seen[data["workstation"]["id"]] = None
        elif name == "edit.session_released":
            self.others.pop(data["session_id"], None)


def _lock(about: Any) -> Lock:
    return {name: about[name] for name in ("item_id", "context_level", "object_id")}


def _line(part_number: str) -> str:
    return f"{path_of(part_number)[: -len('edit-sessions')]}edit-session-requests"


if __name__ == "__main__":
    main(LineWorker)

"""An engineer's process: it edits one part after the other by `silo_client`, and tells the shop what happens.

A crash is a SIGKILL of this process. A lost network is a SIGSTOP of the process that keeps its event stream, which then
acknowledges nothing, as behind a cable that was pulled.
"""

import json
import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from demo import decisions
from demo.bill import bill_of_materials
from demo.decisions import Outcome, Task
from demo.people import Person
from silo_client import (
    EditSession,
    HandoffRequest,
    SiloError,
    Waiting,
    WaitTimeoutError,
    Workstation,
)

LONGEST_WAIT_SECONDS = 40.0
# Longer than the server takes to be sure that a workstation is gone.
OUT_SECONDS = 20.0
BACK_SECONDS = 10.0
AFTER_ERROR_SECONDS = 3.0
LOOK_SECONDS = 0.25
# So that one can read who asks.
ANSWER_SECONDS = 1.5
# The server is on this machine, and ends together with the shop.
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Place:
    """Where an engineer works.

    Args:
        url, token: the server, and the engineer's token.
        seed: of all random numbers.
        state: a folder that stands for the engineer's machine: the client keeps its files there.
        reports: a pipe to which one line is written for each thing that happens.
        open: a pipe that ends when the shop closes.
    """

    url: str
    token: str
    seed: str
    state: Path
    reports: int
    open: int


class Engineer:
    """One life of an engineer, from the start of the CAD program to its end.

    Args:
        person: who.
        place: where.
        life: from 0; how often the program has been started before.
        done: the number of tasks that were begun before.
    """

    def __init__(self, person: Person, place: Place, life: int, done: int) -> None:
        self._person = person
        self._place = place
        self._done = done
        self._rng = Random(f"{place.seed}/{person.number}/{life}")  # noqa: S311  (a play)
        self._parts = bill_of_materials()
        self._asked: list[tuple[float, HandoffRequest]] = []
        self._helper = 0

    def run(self) -> None:
        """Work until the shop closes, which ends this process."""
        try:
            os.environ["SILO_STATE"] = str(self._place.state)
            workstation = Workstation.connect(
                self._place.url,
                self._place.token,
                name=self._person.machine,
                program="demo CAD",
                fingerprint=f"demo {self._person.machine}",
                patience=PATIENCE_SECONDS,
                on_handoff_request=lambda request: self._asked.append((time.monotonic(), request)),
            )
            self._helper = workstation.helper_pid
            self._tell("starts", helper=self._helper)
            while True:
                self._do(workstation, self._next_task())
                self._pause(decisions.pause(self._rng))
        except SiloError as error:
            self._tell("fails", error=str(error))

    def _next_task(self) -> Task:
        task = decisions.choose_task(self._person, self._done, self._parts, self._rng)
        self._done += 1
        return task

    def _do(self, workstation: Workstation, task: Task) -> None:
        waited = False

        def on_wait(waiting: Waiting) -> None:
            nonlocal waited
            self._pause(0)
            if not waited:
                holder = waiting.holder.user_name if waiting.holder else "somebody"
                self._tell("waits", task, position=waiting.position, holder=holder, ask=task.ask)
            waited = True

        try:
            with workstation.edit(
                task.part,
                level=task.level,
                object_id=task.object_id,
                note=task.note,
                wait=LONGEST_WAIT_SECONDS,
                on_wait=on_wait,
                ask=task.ask,
            ) as session:
                self._tell("edits", task, waited=waited, session=session.id)
                self._work(workstation, session, task)
        except WaitTimeoutError:
            self._tell("gives up", task)
        except SiloError as error:
            self._tell("fails", error=str(error))
            self._pause(AFTER_ERROR_SECONDS)

    def _work(self, workstation: Workstation, session: EditSession, task: Task) -> None:
        end = time.monotonic() + task.seconds
        while time.monotonic() < end and not session.lost:
            workstation.touched()
            self._pause(LOOK_SECONDS)
            if self._answer(session, task):
                return
        if task.outcome is Outcome.CRASH:
            self._tell("crashes", task, session=session.id)
            os.kill(os.getpid(), signal.SIGKILL)
        if task.outcome is Outcome.LOSE_NETWORK:
            self._lose_network(workstation, session, task)

    def _answer(self, session: EditSession, task: Task) -> bool:
        """Answer whoever asked for the session; return whether it was handed over."""
        while self._asked and self._asked[0][0] + ANSWER_SECONDS < time.monotonic():
            _, request = self._asked.pop(0)
            if request.session_id != session.id or not request.workstation_id:
                continue
            if not decisions.hands_over(task, self._rng):
                self._tell("keeps", task, asked_by=request.requester_name)
                continue
            self._tell("hands over", task, to=request.requester_name)
            session.hand_over(request.workstation_id)
            return True
        return False

    def _lose_network(self, workstation: Workstation, session: EditSession, task: Task) -> None:
        helper = workstation.helper_pid
        self._tell("loses network", task, session=session.id, helper=helper)
        os.kill(helper, signal.SIGSTOP)
        try:
            self._pause(OUT_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.kill(helper, signal.SIGCONT)
        end = time.monotonic() + BACK_SECONDS
        while not session.lost and time.monotonic() < end:
            self._pause(LOOK_SECONDS)
        self._tell("is back", task, lost=str(session.lost or ""))

    def _pause(self, seconds: float) -> None:
        """Wait. Where the shop closes meanwhile, or has died, end at once.

        The server is ending too, and releases what this process had: nothing is tidied up here.
        """
        if select.select([self._place.open], [], [], seconds)[0]:
            if self._helper:
                with suppress(ProcessLookupError):
                    os.kill(self._helper, signal.SIGKILL)
            os._exit(0)

    def _tell(self, what: str, task: Task | None = None, **more: Any) -> None:
        """Tell the shop what happens, in one line that is short enough not to be mixed with another one."""
        line: dict[str, Any] = {"what": what, "number": self._person.number, "done": self._done}
        if task is not None:
            line |= {"part": task.part, "level": task.level, "object": task.object_id}
        with suppress(BrokenPipeError):
            os.write(self._place.reports, json.dumps(line | more).encode() + b"\n")

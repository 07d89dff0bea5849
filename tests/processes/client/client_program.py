"""A program that uses `silo_client`, to be killed, stopped and kept busy: `client_program.py URL TOKEN [OPTIONS]`.

Reads one command a line, each a JSON list of a name and its argument, and answers it by one JSON line. What callbacks
get is told by lines of their own. With no command it is idle, as a CAD program is.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import sys
import threading
import time
from typing import Any

from silo_client import EditSession, HardInterferenceError, SiloError, Workstation
from silo_client.common import clock

sessions: list[EditSession] = []
watches: list[Watch] = []


def tell(**what: Any) -> None:
    # Whole, whichever thread tells something else.
    os.write(1, f"{json.dumps(what)}\n".encode())


def hold_the_interpreter(seconds: float) -> float:
    """Compute without ever letting another thread run; return how long none could."""
    rounds = 5_000_000
    # By the processor that it took: where others had it for a moment, the clock would say that rounds are long.
    begun = time.thread_time()
    any(itertools.repeat(0, rounds))
    rounds = int(rounds * seconds / (time.thread_time() - begun))
    longest, last, done = 0.0, time.monotonic(), threading.Event()

    def tick() -> None:
        nonlocal longest, last
        while not done.wait(0.01):
            longest, last = max(longest, time.monotonic() - last), time.monotonic()

    ticking = threading.Thread(target=tick)
    ticking.start()
    any(itertools.repeat(0, rounds))
    valid = all(session.valid for session in sessions)
    tell(valid_at_once=valid)
    done.set()
    ticking.join()
    return max(longest, time.monotonic() - last)


class Watch(threading.Thread):
    """Looks at `valid` of a session all the time."""

    def __init__(self, session: EditSession) -> None:
        super().__init__(daemon=True)
        # From when to when, by the machine's clock, it was true.
        self.spans: list[list[float]] = []
        self._session = session
        self.start()

    def run(self) -> None:
        was = False
        while True:
            begun = clock.now()
            if is_valid := self._session.valid:
                if not was:
                    self.spans.append([begun, begun])
                # Not the moment after: this program may have been stopped since it asked.
                self.spans[-1][1] = begun
            was = is_valid
            time.sleep(0.002)


def obey(workstation: Workstation, name: str, argument: Any) -> Any:
    if name == "edit":
        try:
            session = workstation.edit(**argument)
        except HardInterferenceError as error:
            return {"held_by": error.holder.user}
        sessions.append(session)
        return {"session_id": session.id, "existing": session.existing, "valid": session.valid}
    if name == "hold_the_interpreter":
        return hold_the_interpreter(argument)
    if name == "valid":
        return [session.valid for session in sessions]
    if name == "watch":
        watches.append(Watch(sessions[-1]))
        return None
    if name == "look":
        workstation.watch(argument, wait=30)
        return None
    if name == "seen":
        items = workstation.watched.items
        return {part: [one.object_id for one in item.holders] for part, item in items.items()}
    if name == "spans":
        return watches[-1].spans
    if name == "release":
        return sessions.pop().release()
    if name == "helper":
        return workstation.helper_pid
    if name == "fork":
        if pid := os.fork():
            return pid
        # Who reads what this program tells sees its end.
        for descriptor in range(3):
            os.close(descriptor)
        time.sleep(60)
        os._exit(0)
    if name == "fork_and_end":
        if pid := os.fork():
            return os.waitpid(pid, 0)[1]
        if argument == "exit":
            # Through all blocks, and what the interpreter does at its end.
            sys.exit(0)
        sessions.clear()
        watches.clear()
        gc.collect()
        os._exit(0)
    if name == "close":
        return workstation.close()
    raise ValueError(name)


def main(url: str, token: str, options: str = "{}") -> None:
    workstation = Workstation.connect(
        url,
        token,
        on_lost=lambda session, lost: tell(lost=session.id, reason=lost.reason),
        on_event=lambda name, data: tell(event=name),
        **json.loads(options),
    )
    tell(connected=workstation.id, helper=workstation.helper_pid)
    for line in sys.stdin:
        name, argument = json.loads(line)
        try:
            tell(answer=obey(workstation, name, argument))
        except SiloError as error:
            tell(answer={"error": type(error).__name__, "message": str(error)})


if __name__ == "__main__":
    main(*sys.argv[1:])

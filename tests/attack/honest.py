"""Three honest clients and a watcher beside an attack, what they saw, and the table of it."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attack.wire import Tally
from tests.attack.world import World
from tests.processes.service import Process
from tests.waiting import eventually

# The honest items' part numbers begin so.
PREFIX = "HONEST"
HELD, LOOPED, TURNED = (f"{PREFIX}-{number}" for number in (1, 2, 3))

# The longest that an honest acquire may take beside any attack, in seconds. Alone it takes 0.03 s.
LONGEST_ACQUIRE = 5.0
# The most memory of a server under any attack, in MB: the bound in docs/security.md.
MOST_MEMORY = 512.0
# How long after an attack the watcher may be behind.
BEHIND_SECONDS = 20.0


@dataclass
class Seen:
    """What an attack did, and what the honest saw meanwhile."""

    attack: str
    tally: Tally = field(default_factory=Tally)
    notes: list[str] = field(default_factory=list)
    # How each honest lock was lost, by the ids of their sessions.
    lost: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    acquires: int = 0
    longest: float = 0.0
    unsure: int = 0
    before: float = 0.0
    peak: float = 0.0
    after: float = 0.0
    # How often the attack did what it is about, where the answers do not say so.
    batches: int = 0


# In the order in which they ran.
SEEN: list[Seen] = []


def _told(process: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in list(process.lines) if line.startswith("{")]


class Honest:
    """The three programs and the watcher, each a process of its own."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        world.make_items(PREFIX, 3)
        watched = (world.url, world.tokens["wat"], f"{PREFIX}-")
        self._watcher = world.run("watching.py", *watched)
        self._watcher.line('"stream"')
        plan = (("ada", "hold", HELD), ("bob", "loop", LOOPED), ("cyd", "turns", TURNED))
        self._programs = {
            mode: world.run(
                "honest_program.py",
                *(mode, world.url, world.tokens[user], part),
                SILO_STATE=str(folder / user),
            )
            for user, mode, part in plan
        }
        for program in self._programs.values():
            program.line('"held"' if program is self._programs["hold"] else '"acquired"')

    @contextmanager
    def beside(self, attack: str) -> Iterator[Seen]:
        """Watch while the block attacks; afterwards fail if an honest client lost anything or waited too long."""
        seen = Seen(attack)
        SEEN.append(seen)
        server = self._world.server
        seen.before = server.memory()
        server.forget_peak()
        counted = {mode: len(_told(program)) for mode, program in self._programs.items()}
        try:
            yield seen
        finally:
            self._finish(seen, counted)
        assert not seen.lost, f"{attack}: honest locks were lost: {seen.lost}"
        assert not seen.wrong, f"{attack}: {seen.wrong}"
        assert seen.acquires, f"{attack}: no honest client got anything"
        assert seen.longest < LONGEST_ACQUIRE, (
            f"{attack}: an honest acquire took {seen.longest:.1f} s"
        )
        assert seen.peak < MOST_MEMORY, f"{attack}: the server grew to {seen.peak:.0f} MB"

    def _finish(self, seen: Seen, counted: dict[str, int]) -> None:
        """Wait for what was on its way when the attack ended, then note everything."""
        begun = time.monotonic()
        for mode in ("loop", "turns"):
            self._next_acquire(mode, seen)
        server = self._world.server
        if not server.running:
            seen.wrong.append("the server has ended")
            return
        seen.peak, seen.after = server.memory("VmHWM"), server.memory()
        for mode, program in self._programs.items():
            for told in _told(program)[counted[mode] :]:
                self._note(seen, mode, told)
        self._compare(seen)
        seen.notes.append(f"settled after {time.monotonic() - begun:.1f} s")

    def _next_acquire(self, mode: str, seen: Seen) -> None:
        program = self._programs[mode]
        done = sum("acquired" in told for told in _told(program))

        def one_more() -> bool:
            return sum("acquired" in told for told in _told(program)) > done

        try:
            eventually(one_more, within=BEHIND_SECONDS)
        except AssertionError:
            seen.wrong.append(f"the honest program `{mode}` got nothing for {BEHIND_SECONDS:g} s")

    @staticmethod
    def _note(seen: Seen, mode: str, told: dict[str, Any]) -> None:
        if "lost" in told:
            seen.lost[told["lost"]] = f"{mode}: {told['reason']}"
        elif "failed" in told:
            seen.wrong.append(f"{mode}: {told['failed']} {told['message']}")
        elif "acquired" in told:
            seen.acquires += 1
            seen.longest = max(seen.longest, told["seconds"])
        elif told.get("valid") is False:
            seen.unsure += 1

    def _compare(self, seen: Seen) -> None:
        """Compare the watcher's events with what the programs did since they began."""
        held = next(told["held"] for told in _told(self._programs["hold"]) if "held" in told)
        ended = [
            told["released"]
            for mode in ("loop", "turns")
            for told in _told(self._programs[mode])
            if "released" in told
        ]

        def caught_up() -> bool:
            heard = self._heard()
            return all(session in heard and len(heard[session]) > 1 for session in ended)

        try:
            eventually(caught_up, within=BEHIND_SECONDS, step=0.2)
        except AssertionError:
            missing = sum(len(self._heard().get(session, [])) < 2 for session in ended)
            seen.wrong.append(f"the watcher did not hear of {missing} of {len(ended)} sessions")
        heard = self._heard()
        if heard.get(held) != ["edit.session_acquired"]:
            seen.lost.setdefault(held, f"hold, the watcher: {heard.get(held)}")
        for session in ended:
            if session in heard and heard[session] not in (
                ["edit.session_acquired", "edit.session_released released"],
            ):
                seen.lost.setdefault(session, f"the watcher: {heard[session]}")
        told = _told(self._watcher)
        seen.wrong += [f"out of order: {line['disorder']}" for line in told if "disorder" in line]
        if resets := sum(line.get("stream") == "stream-reset" for line in told):
            seen.wrong.append(f"the watcher was reset {resets} times")
        if ends := sum("ended" in line or "refused" in line for line in told):
            seen.notes.append(f"the watcher came back {ends} times")
        listed = self._world.ask("wat", "GET", f"/api/items/{HELD}/edit-sessions").json()
        if [session["id"] for session in listed["sessions"]] != [held]:
            seen.lost.setdefault(held, f"hold, the server: {listed['sessions']}")

    def _heard(self) -> dict[str, list[str]]:
        heard: dict[str, list[str]] = defaultdict(list)
        for told in _told(self._watcher):
            if "event" in told and told["event"] in (
                "edit.session_acquired",
                "edit.session_released",
            ):
                heard[told["session"]].append(f"{told['event']} {told['reason']}".strip())
        return heard


def table() -> list[str]:
    """Return what was seen beside each attack, in Markdown."""
    lines = [
        "| attack | its answers | honest locks lost | honest acquires: how many, the longest"
        " | the server's memory: before, the most, after | |",
        "|---|---|---|---|---|---|",
    ]
    for seen in SEEN:
        notes = [*seen.notes, *seen.wrong[:3]]
        if seen.unsure:
            notes.append(f"unsure {seen.unsure} times")
        lines.append(
            f"| {seen.attack} | {seen.tally} | {len(seen.lost)} | {seen.acquires}, {seen.longest:.2f} s"
            f" | {seen.before:.0f}, {seen.peak:.0f}, {seen.after:.0f} MB | {'; '.join(notes)} |"
        )
    return lines

"""What the shop prints: the engineers' stories, and what the server tells of them."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from demo.people import person
from silo_client.common.visible import visible
from silo_client.data import Lock

# Engineers who get a part at once and finish it are no story, after the first ones.
FIRST_STORIES = 6
SUMMARY_SECONDS = 15.0

Json = Mapping[str, Any]
STORIES: dict[str, Callable[[Json], str]] = {
    "edits": lambda told: " begins to edit {lock}" + (", in turn" if told["waited"] else ""),
    "waits": lambda told: (
        " stands in line for {lock}, place {position}: {holder} has it"
        + (", and asks: “{ask}”" if told["ask"] else "")
    ),
    "gives up": lambda told: " has waited long enough for {lock}",
    "keeps": lambda told: " keeps {lock}, for which {asked_by} asked",
    "hands over": lambda told: " hands {lock} over to {to}",
    "crashes": lambda told: "'s CAD CRASHES with {lock} open",
    "loses network": lambda told: " LOSES THE NETWORK with {lock} open",
    "is back": lambda told: (
        " has a network again"
        + (", and is told that {lock} was lost" if told["lost"] else " and {lock} still")
    ),
    "fails": lambda told: ": {error}",
}


class News:
    """Turns reports of engineers and events of the server into lines.

    Args:
        write: called with each line.
        now: the clock.
    """

    def __init__(
        self, write: Callable[[str], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._write = write
        self._now = now
        self._held: set[str] = set()
        self._waiting: set[int] = set()
        # When, by the session, a crash or the loss of a network was told.
        self._gone: dict[str, float] = {}
        self._begun = 0
        self._next_summary = now() + SUMMARY_SECONDS

    def told(self, report: Json) -> None:
        """Take an engineer's report."""
        what, number = report["what"], report["number"]
        if what == "waits":
            self._waiting.add(number)
        else:
            self._waiting.discard(number)
        if what in ("crashes", "loses network"):
            self._gone[report["session"]] = self._now()
        if what == "edits" and not report["waited"]:
            self._begun += 1
            if self._begun > FIRST_STORIES:
                return
        if story := story_of(report):
            self._write(story)

    def happened(self, event: str, data: Json) -> None:
        """Take an event of the server, or the list with which a watch begins."""
        if event == "sessions":
            self._held = {str(session["session_id"]) for session in data["sessions"]}
        elif event == "edit.session_acquired":
            self._held.add(str(data["session_id"]))
        elif event == "edit.session_released":
            self._released(data)

    def _released(self, data: Json) -> None:
        session = str(data["session_id"])
        self._held.discard(session)
        told = self._gone.pop(session, None)
        if told is not None:
            seconds = max(self._now() - told, 0.0)
            self._write(
                f"    the server releases {Lock.from_payload(data)} of {data['user_name'] or data['user']}"
                f" ({data['reason']}), {seconds:.1f} s later"
            )

    def summary(self) -> None:
        """Write how many edit and wait, if it is time."""
        if self._now() >= self._next_summary:
            self._next_summary = self._now() + SUMMARY_SECONDS
            self._write(f"    edit sessions: {len(self._held)}, in line: {len(self._waiting)}")


def story_of(report: Json) -> str:
    """Return an engineer's report as a sentence; "" for one that is no story."""
    story = STORIES.get(report["what"])
    if story is None:
        return ""
    who = person(report["number"])
    lock = Lock(report.get("part", ""), report.get("level", ""), report.get("object", ""))
    told = {**report, "lock": str(lock)}
    return visible(f"{who.name}{story(report).format(**told)}")

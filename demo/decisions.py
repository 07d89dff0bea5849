"""What an engineer does next: functions of the engineer and a source of random numbers, without a process or a clock.

The first task of each is scripted, so that every kind of end is seen within half a minute: three neighbours want the
same lock; the first one of them gets it, and his machine crashes, loses its network, or hands over to the second one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random

from demo.bill import ASSEMBLY, PART, Part
from demo.people import Person

NEIGHBOURS = 3
TEAMS = 10
# Of a unit's parts those that everybody needs this week: few enough for lines to form.
BUSY_PARTS = 12
CRASH_SHARE = 0.04
NETWORK_SHARE = 0.03
ASK_SHARE = 0.4
HAND_OVER_SHARE = 0.7
ASSEMBLY_SHARE = 0.15
# Long enough for the neighbours to stand in line, who begin a second apart.
FIRST_WORK_SECONDS = 6.0
WORK_SECONDS = (5.0, 25.0)
PAUSE_SECONDS = (1.0, 8.0)
NOTES = ("", "", "until Friday", "Änderung 4711", "with the supplier", "Bohrbild wird verschoben")
MESSAGES = (
    "May I have it? Only one hole.",
    "Darf ich kurz? Der Lieferant wartet.",
    "I need it for the review at ten.",
)


class Outcome(Enum):
    """How the work on a part goes on."""

    FINISH = "finish"
    CRASH = "crash"
    LOSE_NETWORK = "lose network"
    HAND_OVER = "hand over"


# Of the first one of each team, in turns.
SCRIPTED = (Outcome.CRASH, Outcome.LOSE_NETWORK, Outcome.HAND_OVER)


@dataclass(frozen=True)
class Task:
    """What an engineer wants to edit.

    Args:
        part, level, object_id: the lock.
        note: for everybody who sees the session.
        ask: the message to the present holder; "" for waiting without a word.
        seconds: how long the work takes.
        outcome: how it goes on. `HAND_OVER` works until somebody asks, and then hands over.
    """

    part: str
    level: str
    object_id: str
    note: str
    ask: str
    seconds: float
    outcome: Outcome


def choose_task(person: Person, done: int, parts: Sequence[Part], rng: Random) -> Task:
    """Return the next task.

    Args:
        person: whose.
        done: how many tasks this engineer has had, also before a crash.
        parts: the bill of materials.
        rng: the source of what is not scripted.
    """
    if done == 0:
        return first_task(person, parts)
    part = choose_part(person, parts, rng)
    level, object_id = choose_lock(part, rng)
    return Task(
        part.number,
        level,
        object_id,
        note=rng.choice(NOTES),
        ask=rng.choice(MESSAGES) if rng.random() < ASK_SHARE else "",
        seconds=rng.uniform(*WORK_SECONDS),
        outcome=choose_outcome(rng),
    )


def first_task(person: Person, parts: Sequence[Part]) -> Task:
    """Return the scripted task: the neighbours' lock, and what happens to the first of them."""
    team, place = divmod(person.number, NEIGHBOURS)
    ours = [part for part in parts if part.kind == PART]
    # Each of the first ten teams begins with another part.
    part = ours[team * len(ours) // TEAMS % len(ours)]
    scripted = SCRIPTED[team % len(SCRIPTED)]
    outcome = scripted if place == 0 else Outcome.FINISH
    ask = MESSAGES[0] if place == 1 and scripted is Outcome.HAND_OVER else ""
    return Task(part.number, "partdesign", "Pad001", "", ask, FIRST_WORK_SECONDS, outcome)


def choose_part(person: Person, parts: Sequence[Part], rng: Random) -> Part:
    """Return a part of the engineer's unit: mostly a busy one, now and then an assembly."""
    units = 1 + max(part.unit for part in parts)
    ours = [part for part in parts if part.unit == person.number % units]
    if rng.random() < ASSEMBLY_SHARE:
        return rng.choice([part for part in ours if part.kind == ASSEMBLY])
    return rng.choice(ours[:BUSY_PARTS])


def choose_lock(part: Part, rng: Random) -> tuple[str, str]:
    """Return the level and the object: an assembly and a document as a whole, of a part one object."""
    if part.kind == ASSEMBLY:
        return "assembly", ""
    if part.kind != PART:
        return "partdesign", ""
    return rng.choice([("sketch", "Sketch001"), ("partdesign", "Pad001")])


def choose_outcome(rng: Random) -> Outcome:
    """Return how the work goes on."""
    drawn = rng.random()
    if drawn < CRASH_SHARE:
        return Outcome.CRASH
    if drawn < CRASH_SHARE + NETWORK_SHARE:
        return Outcome.LOSE_NETWORK
    return Outcome.FINISH


def hands_over(task: Task, rng: Random) -> bool:
    """Say whether the holder, who has been asked, hands over."""
    return task.outcome is Outcome.HAND_OVER or rng.random() < HAND_OVER_SHARE


def pause(rng: Random) -> float:
    """Return the seconds until the next task."""
    return rng.uniform(*PAUSE_SECONDS)

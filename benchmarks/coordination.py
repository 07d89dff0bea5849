"""The large cases: `python -m benchmarks.coordination` on a database of its own choice (DATABASE_URL).

Prints what a cone of 10,000 node keys costs on an item with 1,000 sessions, and a batch of 1,000 sessions, each as a
ratio to an acquire of one session with a small cone in the same run; then the release of all of it.
"""

import logging
import os
import statistics
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from typing import Any

import httpx
from django.contrib.auth.models import Group

from sessions_app.models import EditSession, Item, Workstation
from tests.factories import make_item, make_token, make_user
from tests.processes.service import Client, Serve

SESSIONS = 1_000
ROUNDS = 10
SMALL, USUAL, LARGE = 20, 100, 10_000


def main() -> None:
    """Run it and print what was measured."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    Group.objects.get_or_create(name="editor")
    name = f"bench-{time.time_ns()}"
    user = make_user(name)
    crowded = make_item(name)
    others = Item.objects.bulk_create(
        Item(part_number=f"{name}-{number}") for number in range(SESSIONS)
    )
    server = Serve(SILO_HEARTBEAT_SECONDS="30", SILO_SESSION_TIMEOUT_MINUTES="15").ready()
    try:
        with httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Bearer {make_token(user)}"},
            timeout=120,
        ) as http:
            mine = Client(server, make_token(user)).workstation(name)
            crowd(crowded, Workstation.objects.create(user=user, name="crowd", fingerprint="crowd"))
            measure(http, mine, crowded, others)
    finally:
        server.close()


def crowd(item: Item, workstation: Workstation) -> None:
    """Fill an item with sessions whose cones overlap a little."""
    EditSession.objects.bulk_create(
        EditSession(
            item=item,
            workstation=workstation,
            user=workstation.user,
            context_level="sketch",
            object_id=f"Sketch{number}",
            dependency_cone=[f"Node{number * USUAL // 2 + key}" for key in range(USUAL)],
        )
        for number in range(SESSIONS)
    )


def measure(http: httpx.Client, mine: str, crowded: Item, others: list[Item]) -> None:
    """Acquire small, large and many."""
    small = [
        timed(http, mine, others[0], [f"Node{key}" for key in range(SMALL)])[0]
        for _ in range(ROUNDS)
    ]
    large = [
        timed(http, mine, crowded, [f"Node{key}" for key in range(LARGE)]) for _ in range(ROUNDS)
    ]
    one = statistics.median(small)
    cone = statistics.median(seconds for seconds, _ in large)
    print(f"an acquire with {SMALL} node keys on an empty item: {one * 1000:.0f} ms")
    print(
        f"with {LARGE} on an item with {SESSIONS} sessions, {large[0][1]} of which meet: "
        f"{cone * 1000:.0f} ms, {cone / one:.0f} times as much"
    )
    wanted = [
        {
            "part_number": item.part_number,
            "context_level": "assembly",
            "dependency_cone": [f"Node{key}" for key in range(USUAL)],
        }
        for item in others
    ]
    begun = time.monotonic()
    body = {"workstation_id": mine, "sessions": wanted}
    http.post("/api/edit-sessions/batch", json=body).raise_for_status()
    batch = time.monotonic() - begun
    begun = time.monotonic()
    http.delete(f"/api/workstations/{mine}/edit-sessions").raise_for_status()
    release = time.monotonic() - begun
    print(
        f"a batch of {SESSIONS} with {USUAL} node keys each: {batch:.2f} s, {batch / one:.0f} times one acquire; "
        f"releasing all of it: {release:.2f} s"
    )


def timed(http: httpx.Client, workstation: str, item: Item, cone: list[str]) -> tuple[float, int]:
    """Acquire and release; return the seconds of the acquire, and how many conflicts it was told of."""
    path = f"/api/items/{item.part_number}/edit-sessions"
    body: dict[str, Any] = {
        "workstation_id": workstation,
        "context_level": "partdesign",
        "object_id": "Pad",
        "dependency_cone": cone,
    }
    begun = time.monotonic()
    answer = http.post(path, json=body).raise_for_status().json()
    seconds = time.monotonic() - begun
    http.delete(f"{path}/{answer['id']}").raise_for_status()
    return seconds, len(answer["conflicts"])


if __name__ == "__main__":
    main()

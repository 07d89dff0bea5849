"""Clients of the service's API that do the same again and again; `Hammer` runs them."""

import json

from benchmarks.load import Operation
from benchmarks.wire import Caller, request


def acquiring(part: str, workstation: str, token: str) -> bytes:
    """Return the request that acquires a sketch."""
    body = {"workstation_id": workstation, "context_level": "sketch"}
    return request("POST", f"/api/items/{part}/edit-sessions", token, body)


async def pair_client(
    ports: list[int], tokens: list[str], parts: list[str], workstations: list[str], number: int
) -> Operation:
    """Return an operation that acquires a session and releases it."""
    caller = await Caller.connect(ports[number % len(ports)])
    part, token = parts[number], tokens[number % len(tokens)]
    acquire = acquiring(part, workstations[number], token)

    async def pair() -> int:
        body = await caller.checked(acquire, 200)
        path = f"/api/items/{part}/edit-sessions/{json.loads(body)['id']}"
        await caller.checked(request("DELETE", path, token), 204)
        return 1

    return pair


async def batch_client(
    ports: list[int],
    tokens: list[str],
    parts: list[list[str]],
    workstations: list[str],
    number: int,
) -> Operation:
    """Return an operation that acquires many sessions in one batch and releases them."""
    caller = await Caller.connect(ports[number % len(ports)])
    mine, token = workstations[number], tokens[number % len(tokens)]
    wanted = [{"part_number": part, "context_level": "sketch"} for part in parts[number]]
    body = {"workstation_id": mine, "sessions": wanted}
    acquire = request("POST", "/api/edit-sessions/batch", token, body)
    release = request("DELETE", f"/api/workstations/{mine}/edit-sessions", token)

    async def batch() -> int:
        await caller.checked(acquire, 200)
        await caller.checked(release, 200)
        return len(wanted)

    return batch


async def alive_client(
    ports: list[int], tokens: list[str], workstations: list[str], number: int
) -> Operation:
    """Return an operation that acknowledges a heartbeat."""
    caller = await Caller.connect(ports[number % len(ports)])
    path = f"/api/workstations/{workstations[number]}/alive"
    data = request("POST", path, tokens[number % len(tokens)], {})

    async def alive() -> int:
        await caller.checked(data, 204)
        return 1

    return alive

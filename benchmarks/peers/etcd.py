"""etcd: a key with a lease, by the JSON gateway of its own server, which costs it more than gRPC would."""

import base64
import json
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.load import Client, Operation
from benchmarks.peers.programs import Program
from benchmarks.processes import free_port
from benchmarks.wire import Caller, request

TTL_SECONDS = 60


class Etcd(Program):
    """An etcd of its own."""

    name = "etcd"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "etcd")

    def command(self) -> list[str]:
        here, peers = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{free_port()}"
        options = {
            "data-dir": str(self.folder / "data"),
            "listen-client-urls": here,
            "advertise-client-urls": here,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
            "log-level": "error",
        }
        return ["etcd", *(f"--{name}={value}" for name, value in options.items())]

    def pairs(self, clients: int) -> Client:
        return partial(pair_client, self.port)

    def alive(self) -> Client:
        return partial(alive_client, self.port)


async def pair_client(port: int, number: int) -> Operation:
    """Return an operation that puts a key that is not there, with a lease, and deletes it."""
    caller = await Caller.connect(port)
    key, lease = _base64(f"item-{number}"), await _lease(caller)
    put = {"request_put": {"key": key, "value": _base64("me"), "lease": lease}}
    absent = {"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}
    take = _request("kv/txn", {"compare": [absent], "success": [put]})
    give_back = _request("kv/deleterange", {"key": key})

    async def pair() -> int:
        if b'"succeeded":true' not in await caller.checked(take, 200):
            raise RuntimeError("the key was there")
        await caller.checked(give_back, 200)
        return 1

    return pair


async def alive_client(port: int, number: int) -> Operation:
    """Return an operation that keeps a lease alive."""
    caller = await Caller.connect(port)
    keep = _request("lease/keepalive", {"ID": await _lease(caller)})

    async def alive() -> int:
        await caller.checked(keep, 200)
        return 1

    return alive


async def _lease(caller: Caller) -> str:
    answer = await caller.checked(_request("lease/grant", {"TTL": TTL_SECONDS}), 200)
    lease: str = json.loads(answer)["ID"]
    return lease


def _request(path: str, body: dict[str, Any]) -> bytes:
    return request("POST", f"/v3/{path}", body=body)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()

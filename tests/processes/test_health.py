"""`/ready` and signs of life at a server whose requests all wait for something else."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from django.db import transaction

from sessions_app.models import Item
from silo.asgi import REQUESTS_AT_ONCE
from tests.waiting import eventually, waiting_for_locks


def all_wait() -> bool:
    """Whether as many requests as a server lets into Django wait for a lock."""
    return waiting_for_locks() == REQUESTS_AT_ONCE


@pytest.fixture
def full(serve, client_of, part):
    """A server in which as many requests as it lets into Django wait for a lock."""
    ada = client_of(serve())
    # One user never has all places.
    bob = client_of(ada.server, "bob")
    workstation, bobs = ada.workstation(), bob.workstation()
    names = [str(number) for number in range(REQUESTS_AT_ONCE + 2)]
    # The lock is let go before the threads are waited for.
    with ThreadPoolExecutor(2 * len(names)) as others, transaction.atomic():
        Item.objects.select_for_update().get(part_number=part)
        other = ada.workstation("cad-2")
        acquires = [others.submit(ada.acquire, part, workstation, object_id=n) for n in names]
        acquires += [others.submit(bob.acquire, part, bobs, object_id=f"bob-{n}") for n in names]
        eventually(all_wait)
        yield ada, other
        assert all_wait()
    assert {acquire.result().status_code for acquire in acquires} == {200}


def test_ready_waits_for_no_other_request(full):
    ada, _ = full
    # Well before the requests give up waiting for the lock.
    assert httpx.get(f"{ada.server.url}/ready", timeout=2).status_code == 200


def test_nor_does_a_sign_of_life(full):
    ada, workstation = full
    url = f"{ada.server.url}/api/workstations/{workstation}/alive"
    headers = {"Authorization": f"Bearer {ada.token}"}
    assert httpx.post(url, headers=headers, timeout=2).status_code == 204

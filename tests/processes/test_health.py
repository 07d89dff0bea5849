"""`/ready` of a server whose requests all wait for something else."""

from concurrent.futures import ThreadPoolExecutor

import httpx
from django.db import transaction

from sessions_app.models import Item
from silo.asgi import REQUESTS_AT_ONCE
from tests.waiting import eventually, waiting_for_locks


def all_wait() -> bool:
    """Whether as many requests as a server lets into Django wait for a lock."""
    return waiting_for_locks() == REQUESTS_AT_ONCE


def test_ready_waits_for_no_other_request(serve, client_of, part):
    ada = client_of(server := serve())
    workstation = ada.workstation()
    names = [str(number) for number in range(REQUESTS_AT_ONCE + 2)]
    # The lock is let go before the threads are waited for.
    with ThreadPoolExecutor(len(names)) as others, transaction.atomic():
        Item.objects.select_for_update().get(part_number=part)
        acquires = [others.submit(ada.acquire, part, workstation, object_id=n) for n in names]
        eventually(all_wait)
        # Well before the requests give up waiting for the lock.
        assert httpx.get(f"{server.url}/ready", timeout=2).status_code == 200
        assert all_wait()
    assert {acquire.result().status_code for acquire in acquires} == {200}

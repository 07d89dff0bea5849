"""`silo_client.Api`, for programs that speak to the server themselves."""

import pytest

from events_app.models import Connection
from sessions_app.models import EditSession, Workstation
from silo_client import Api, NotFoundError, Wanted
from tests.factories import make_item


@pytest.fixture
def api(ada, processes):
    made = Api(ada.server.url, ada.token)
    processes.callback(made.close)
    return made


@pytest.fixture
def parts():
    return [make_item(f"P-{number}").part_number for number in range(5)]


@pytest.mark.parametrize(("limit", "number"), [(None, 5), (100, 5), (5, 5), (3, 3), (2, 2)])
def test_lists_are_whole_however_small_a_servers_pages_are(
    ada, api, parts, monkeypatch, limit, number
):
    monkeypatch.setattr("silo_client.api.PAGE", 2)
    assert [one["part_number"] for one in api.items(limit=limit)] == parts[:number]
    for part in parts:
        api.release(part, api.acquire(Wanted(part, "sketch"), ada.workstation(), None)["id"])
    told = [one["part_number"] for one in api.history(limit)]
    assert told == parts[::-1][:number]
    assert len(api.history(None, item=parts[0])) == 1


def test_client_without_a_stream_lives_by_alive_requests(ada, api, parts):
    workstation = ada.workstation()
    for part in parts[:2]:
        api.acquire(Wanted(part, "sketch"), workstation, None)
    before = list(EditSession.objects.values_list("last_heartbeat", flat=True))
    api.alive(workstation)
    assert min(EditSession.objects.values_list("last_heartbeat", flat=True)) > max(before)
    api.alive(workstation, idle_seconds=600)
    assert Workstation.objects.get().idle_since is not None
    assert api.release_all(workstation) == 2
    assert not Connection.objects.exists()


def test_who_uses_many_items_is_one_answer(ada, api, parts):
    session = api.acquire(Wanted(parts[0], "sketch"), ada.workstation(), None)
    told = api.in_use([*parts, "none"])
    held = {one["part_number"]: [s["id"] for s in one["sessions"]] for one in told["items"]}
    assert held == {part: [session["id"]] if part == parts[0] else [] for part in parts}
    assert told["unknown"] == ["none"]


def test_workstations_and_items_come_and_go(api, ada):
    workstation = ada.workstation()
    api.delete_workstation(workstation)
    with pytest.raises(NotFoundError):
        api.delete_workstation(workstation)
    assert api.create_item("P-9", "Housing", "part")["description"] == "Housing"
    assert [one["part_number"] for one in api.items("hous")] == ["P-9"]
    with pytest.raises(NotFoundError, match=r"There is no item P-10\."):
        api.sessions_of("P-10")

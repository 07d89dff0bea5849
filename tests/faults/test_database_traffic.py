"""The database goes away in the midst of acquires: what was answered and told stays true."""

import threading

import pytest

from tests.faults.database_scene import PART, PATIENT, however_it_goes
from tests.faults.services import is_ready, passes
from tests.processes.service import SseClient
from tests.waiting import eventually


class Follower:
    """A client that comes back with its Last-Event-ID whenever its stream ends."""

    def __init__(self, client, **query):
        self._client, self._query = client, query
        self.streams = [client.stream(**query)]
        self._last = self.streams[0].last_event_id

    def follow(self) -> list[str]:
        """Come back if the stream has ended; return the ids of all events so far."""
        stream = self.streams[-1]
        ended = not stream.running
        ids = [event["id"] for event in stream.events if event["id"]]
        self._last = ids[-1] if ids else self._last
        if ended:
            url = f"{self._client.server.url}/api/events?all=true"
            self.streams.append(SseClient(url, self._client.token, self._last))
            self._client.streams.append(self.streams[-1])
        return [
            event["id"]
            for stream in self.streams
            for event in stream.events
            if event["event"].startswith("edit.")
        ]

    def named(self, name):
        return [event for stream in self.streams for event in stream.named(name)]


def test_what_was_answered_survives_a_crash(scene):
    ada = scene.client(scene.serve(**PATIENT).ready())
    workstation = ada.workstation()
    ada.stream(workstation_id=workstation)
    answered, over = [], threading.Event()

    def acquire_for_ever() -> None:
        number = 0
        while not over.is_set():
            answer = ada.acquire(PART, workstation, object_id=f"{number}")
            if answer.status_code == 200:
                answered.append((answer.json()["id"], answer.json()["fencing_token"]))
            number += 1

    thread = threading.Thread(target=acquire_for_ever)
    thread.start()
    try:
        for _ in range(3):
            before = len(answered)
            eventually(lambda before=before: len(answered) > before + 20)
            scene.database.kill()
            scene.database.start()
    finally:
        over.set()
        thread.join()
    eventually(lambda: is_ready(ada.server))
    held = {(session["id"], session["fencing_token"]) for session in ada.held(PART)}
    assert set(answered) <= held
    tokens = [token for _, token in answered]
    assert tokens == sorted(set(tokens)), "they strictly grow, over crashes too"
    logged = "SELECT count(*) FROM events_app_logentry WHERE type = 'edit.session_acquired'"
    assert scene.database.query(logged) == [(len(held),)], (
        "session and event together or not at all"
    )


@however_it_goes
@pytest.mark.parametrize("env", [PATIENT, {}], ids=["streams stay open", "streams are closed"])
def test_no_stream_loses_or_doubles_an_event(scene, how, env):
    servers = [scene.serve(**env).ready(), scene.serve(**env).ready()]
    ada = scene.client(servers[0])
    followers = [Follower(scene.client(server), all="true") for server in servers]
    workstation, over = ada.workstation(), threading.Event()

    def publish_for_ever() -> None:
        number = 0
        while not over.is_set():
            ada.acquire(PART, workstation, object_id=f"{number}")
            number += 1

    def told(count: int) -> bool:
        return all(len(follower.follow()) >= count for follower in followers)

    thread = threading.Thread(target=publish_for_ever)
    thread.start()
    try:
        for _ in range(3):
            count = max(len(follower.follow()) for follower in followers)
            eventually(lambda count=count: told(count + 20))
            scene.go_away(how)
            if env:
                passes(1)
            else:
                closed = [len(follower.streams) for follower in followers]
                eventually(
                    lambda c=closed: (
                        told(0)
                        and all(
                            len(follower.streams) > n
                            for follower, n in zip(followers, c, strict=True)
                        )
                    )
                )
            scene.come_back(how)
    finally:
        over.set()
        thread.join(60)
    log = (
        "SELECT log.epoch || '-' || entry.id"
        " FROM events_app_logentry entry, events_app_eventlog log ORDER BY entry.id"
    )
    published = [cursor for (cursor,) in scene.database.query(log)]
    eventually(lambda: told(len(published)))
    for follower in followers:
        assert follower.follow() == published
        assert not follower.named("stream-reset")


@however_it_goes
def test_a_request_in_flight_is_answered_truly(scene, how):
    """A workstation that was told 200 holds the session; one that was told 503 may ask again."""
    ada = scene.client(scene.serve(**PATIENT).ready())
    workstation = ada.workstation()
    ada.stream(workstation_id=workstation)
    answers = []

    def acquire() -> None:
        for number in range(100):
            answers.append((f"{number}", ada.acquire(PART, workstation, object_id=f"{number}")))

    thread = threading.Thread(target=acquire)
    thread.start()
    eventually(lambda: len(answers) > 10)
    scene.go_away(how)
    passes(0.5)
    scene.come_back(how)
    thread.join(60)
    assert len(answers) == 100
    assert {answer.status_code for _, answer in answers} <= {200, 503}
    eventually(lambda: is_ready(ada.server))
    held = {session["object_id"] for session in ada.held(PART)}
    assert {object_id for object_id, answer in answers if answer.status_code == 200} <= held
    again = [ada.acquire(PART, workstation, object_id=object_id) for object_id, _ in answers]
    assert {answer.status_code for answer in again} == {200}

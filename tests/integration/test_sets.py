"""Sets of requests: each is decided as if it were alone, whatever the others of its set are."""

import uuid
from collections import Counter
from datetime import timedelta

import pytest
from django.db import OperationalError, connection, transaction
from django.db.models.functions import Now

from events_app.database import pipeline
from sessions_app import payloads
from sessions_app.errors import DomainError, TooManySessions
from sessions_app.models import (
    EditSession,
    EndedSession,
    Item,
    PlaceInLine,
    Workstation,
    edit_session_manager,
)
from sessions_app.models.results import Wanted
from sessions_app.operations.acquire import acquire_set
from sessions_app.operations.facts import Acquire
from sessions_app.operations.release import Release, release_set
from tests.factories import (
    acquire,
    connect,
    counts,
    events,
    let_go,
    make_item,
    make_user,
    make_workstation,
    stand,
)

pytestmark = pytest.mark.django_db


RULES = [
    "free",
    "twice_the_same",
    "held_by_other",
    "held_by_itself",
    "renewed_with_cone",
    "beside_others",
    "retired",
    "renamed",
    "unknown",
    "foreign",
    "deactivated",
    "gone_stream",
    "live_stream",
    "idle",
    "away",
    "in_line",
    "batch_half_held",
]


def trial(action):
    """Return an action's outcome, the events that it has told, and the counts after it; take all back."""
    before = len(events())
    savepoint = transaction.savepoint()
    outcome = action()
    told, after = events()[before:], counts()
    transaction.savepoint_rollback(savepoint)
    return outcome, told, after


def shown(outcome):
    """Return what there is to see of the outcome of an acquire, without what is new each time."""
    if isinstance(outcome, DomainError):
        return type(outcome), outcome.message, outcome.details
    return [without_new({**payloads.acquired_json(one), "id": None}) for one in outcome]


def without_new(data):
    new = {"session_id", "fencing_token", "acquired_at", "last_heartbeat", "released_at"}
    return {
        key: without_new(value) if isinstance(value, dict) and key != "workstation" else value
        for key, value in data.items()
        if key not in new
    }


def told_in_all(told):
    return Counter(
        (kind, frozenset(channels), repr(without_new(data))) for kind, channels, data in told
    )


class Crowd:
    """Workstations of which each asks for something else, on an item of its own, and meets another rule."""

    def __init__(self, settings):
        settings.EVENTS_DISCONNECT_GRACE = timedelta(minutes=1)
        self.other = make_workstation(make_user("other"), "other's")
        self.requests = []
        for name in RULES:
            self.item = make_item(f"{name}-1")
            self.user = make_user(name)
            self.workstation = make_workstation(self.user, f"{name}'s")
            self.request = Acquire(
                self.user,
                self.workstation.pk,
                [Wanted(self.item.part_number, "sketch", "A", ("n1",))],
            )
            getattr(self, name)()
            self.requests.append(self.request)
        self.requests.append(Acquire(self.other.user, uuid.uuid4(), [Wanted("free-1", "sketch")]))

    def _asks(self, *wanted, connection_id=None):
        self.request = Acquire(self.user, self.workstation.pk, wanted, connection_id)

    def free(self):
        pass

    def twice_the_same(self):
        number = self.item.part_number
        self._asks(Wanted(number, "sketch"), Wanted(number.upper(), "sketch"))

    def held_by_other(self):
        acquire(self.other, self.item, "A")

    def held_by_itself(self):
        acquire(self.workstation, self.item, "A")

    def renewed_with_cone(self):
        acquire(self.other, self.item, "B", cone=("n1", "n2"))
        acquire(self.workstation, self.item, "A", cone=("n3",))

    def beside_others(self):
        acquire(self.other, self.item, "B", cone=("n1", "n2"))

    def retired(self):
        Item.objects.filter(pk=self.item.pk).update(retired_at=Now())

    def renamed(self):
        Item.objects.filter(pk=self.item.pk).update(part_number="other-2", key="other-2")

    def unknown(self):
        self._asks(Wanted("not there", "sketch"))

    def foreign(self):
        self.request = Acquire(self.other.user, self.workstation.pk, self.request.wanted)

    def deactivated(self):
        self.user.is_active = False
        self.user.save()

    def gone_stream(self):
        self._asks(*self.request.wanted, connection_id=uuid.uuid4())

    def live_stream(self):
        self._asks(*self.request.wanted, connection_id=connect(self.workstation))

    def idle(self):
        acquire(self.workstation, make_item("held while idle"), "A")
        Workstation.objects.filter(pk=self.workstation.pk).update(idle_since=Now())

    def away(self):
        acquire(self.workstation, make_item("held while away"), "A")
        Workstation.objects.filter(pk=self.workstation.pk).update(
            departed_at=Now(), away_since=Now()
        )

    def in_line(self):
        connect(self.workstation)
        held = acquire(self.other, self.item, "A").session
        stand(self.workstation, self.item, "A")
        # Without a turn: nobody is there.
        EditSession.objects.filter(pk=held.pk).delete()

    def batch_half_held(self):
        acquire(self.other, self.item, "B")
        number = self.item.part_number
        self._asks(Wanted(number, "sketch", "A"), Wanted(number, "sketch", "B"))


@pytest.fixture
def crowd(settings):
    return Crowd(settings)


def test_acquires_of_a_set_have_the_outcomes_that_each_has_alone(crowd):
    alone = [trial(lambda one=one: acquire_set([one])[0]) for one in crowd.requests]
    outcomes, told, after = trial(lambda: acquire_set(crowd.requests))
    assert [shown(one) for one in outcomes] == [shown(one) for one, _, _ in alone]
    assert told_in_all(told) == sum((told_in_all(one) for _, one, _ in alone), Counter())
    before = counts()
    added = Counter()
    for _, _, of_one in alone:
        added.update({name: of_one[name] - before[name] for name in before})
    assert {name: after[name] - before[name] for name in before} == dict(added)
    refused = [one for one in outcomes if isinstance(one, DomainError)]
    assert len(refused) == 10


def test_tokens_of_a_set_grow_and_its_sessions_begin_at_one_moment(crowd):
    last = EditSession.objects.order_by("-fencing_token").first().fencing_token
    done = [one for one in acquire_set(crowd.requests) if not isinstance(one, DomainError)]
    new = [one.session for some in done for one in some if not one.existing]
    tokens = [session.fencing_token for session in new]
    assert tokens == sorted(set(tokens))
    assert tokens[0] > last
    assert len({session.acquired_at for session in new}) == 1
    for session in new:
        row = EditSession.objects.get(pk=session.pk)
        assert (row.fencing_token, row.acquired_at) == (session.fencing_token, session.acquired_at)
        assert row.last_heartbeat == row.acquired_at
        assert row.node_keys == session.node_keys


def test_who_is_refused_in_a_set_is_still_away(crowd):
    away = Workstation.objects.get(name="away's")
    [request] = [one for one in crowd.requests if one.workstation_id == away.pk]
    acquire(crowd.other, Item.objects.get(part_number="away-1"), "A")
    outcomes = acquire_set([request, crowd.requests[0]])
    assert isinstance(outcomes[0], DomainError)
    assert Workstation.objects.get(pk=away.pk).away_since == away.away_since


def test_a_set_takes_as_many_round_trips_as_one_request(monkeypatch):
    trips = []

    def counted(to_database, queries, **options):
        trips.append(len(queries))
        return run(to_database, queries, **options)

    run = pipeline.run
    monkeypatch.setattr(pipeline, "run", counted)
    crowd = [make_workstation(make_user(f"user-{number}")) for number in range(5)]
    items = [make_item(f"A-{number}") for number in range(5)]
    for count in (1, 5):
        trips.clear()
        wanted = [
            Acquire(one.user, one.pk, [Wanted(item.part_number, "sketch")])
            for one, item in zip(crowd[:count], items, strict=False)
        ]
        done = acquire_set(wanted)
        assert len(trips) == 3
        trips.clear()
        release_set([Release(one.session.user, [one.session.pk]) for [one] in done])
        assert len(trips) == 4


def test_a_set_that_refreshes_touches_sessions_by_one_statement():
    crowd = [make_workstation(make_user(f"user-{number}")) for number in range(3)]
    for number, one in enumerate(crowd):
        acquire(one, make_item(f"A-{number}"))
        # Its workstation's other sessions are touched too: all of a set's in the one order of their ids.
        acquire(one, make_item(f"B-{number}"))
    wanted = [
        Acquire(one.user, one.pk, [Wanted(f"A-{number}", "sketch")])
        for number, one in enumerate(crowd)
    ]
    touching = []

    def record(execute, sql, params, many, context):
        if sql.startswith('UPDATE "sessions_app_editsession"'):
            touching.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(record):
        outcomes = acquire_set(wanted)
    assert all(one.existing for [one] in outcomes)
    assert len(touching) == 1


def test_requests_of_a_set_count_for_the_limit_of_their_user(settings):
    settings.LIMITS = settings.LIMITS.model_copy(update={"sessions_per_user": 2})
    user = make_user("ada")
    wanted = [
        Acquire(
            user,
            make_workstation(user, f"cad-{number}").pk,
            [Wanted(make_item(f"A-{number}").part_number, "sketch")],
        )
        for number in range(4)
    ]
    outcomes = acquire_set(wanted)
    assert [isinstance(one, TooManySessions) for one in outcomes] == [False, False, True, True]
    assert EditSession.objects.count() == 2


def test_releases_of_a_set_have_the_outcomes_that_each_has_alone():
    ada, bob = (make_workstation(make_user(name), f"{name}'s") for name in ("ada", "bob"))
    item, other = make_item("A-1"), make_item("A-2")
    first, second = (acquire(ada, item, name).session for name in "AB")
    third, theirs = acquire(ada, other).session, acquire(bob, item, "C").session
    gone = acquire(bob, other, "D").session
    let_go(gone.pk)
    requests = [
        Release(ada.user, [first.pk], "A-1"),
        Release(ada.user, [second.pk], "A-2"),
        Release(ada.user, [theirs.pk], "A-1"),
        Release(bob.user, [gone.pk], "A-2"),
        Release(ada.user, [third.pk, theirs.pk, gone.pk]),
        Release(bob.user, [theirs.pk], "a-1"),
    ]
    alone = [trial(lambda one=one: release_set([one])[0])[0] for one in requests]

    def what(outcome):
        if isinstance(outcome, DomainError):
            return type(outcome), outcome.message
        return [record.session_id for record in outcome]

    outcomes = release_set(requests)
    assert [what(one) for one in outcomes] == [what(one) for one in alone]
    assert set(EditSession.objects.values_list("pk", flat=True)) == {second.pk}
    assert EndedSession.objects.count() == 4


def test_what_a_step_has_ended_is_told_though_a_later_step_fails(monkeypatch):
    monkeypatch.setattr(edit_session_manager, "STEP_SESSIONS", 1)
    ada = make_workstation(make_user("ada"))
    sessions = [acquire(ada, make_item(f"A-{number}")).session for number in range(3)]
    first, second, third = sorted(sessions, key=lambda one: one.pk)
    end_found = type(EditSession.objects).end_found
    steps = []

    def fail_later(self, *arguments, **options):
        steps.append(1)
        if len(steps) == 2:
            raise OperationalError("canceled")
        return end_found(self, *arguments, **options)

    monkeypatch.setattr(type(EditSession.objects), "end_found", fail_later)
    one, other, none = release_set(
        [
            Release(ada.user, [first.pk], first.item.part_number),
            Release(ada.user, [first.pk, second.pk]),
            Release(ada.user, [third.pk], third.item.part_number),
        ]
    )
    assert [record.session_id for record in one] == [first.pk]
    assert isinstance(other, OperationalError)
    assert isinstance(none, OperationalError)
    assert EditSession.objects.count() == 2


def test_a_session_that_two_requests_name_is_ended_by_the_first():
    ada = make_workstation(make_user("ada"))
    session = acquire(ada, make_item("A-1")).session
    ended, refused = release_set([Release(ada.user, [session.pk], "A-1")] * 2)
    assert [record.session_id for record in ended] == [session.pk]
    assert refused.code == "not_found"
    assert not PlaceInLine.objects.exists()

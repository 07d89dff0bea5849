"""Each function that builds a payload builds exactly the members that its shape declares, in their order."""

import uuid
from collections import defaultdict
from dataclasses import fields
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User

from events_app import timings
from sessions_app import payloads
from sessions_app.locks import Lock
from sessions_app.models import ApiToken, EditSession, EndedSession, EndReason, Item, Workstation
from sessions_app.models.ended_session import Ending, Record
from sessions_app.models.results import Acquired, Conflict, Standing, Wanted
from sessions_app.payloads import events, me
from sessions_app.payloads.ended import EndedSessionOut, HistoryOut
from sessions_app.payloads.in_use import InUseOut, ItemInUseOut
from sessions_app.payloads.item import ItemOut, ItemsOut, WorkstationOut, WorkstationsOut
from sessions_app.payloads.me import MeOut, NewTokenOut, TokenOut, TokensOut
from sessions_app.payloads.members import OfItem, WorkstationRef
from sessions_app.payloads.place import LineOut, PlaceOut, StandingOut
from sessions_app.payloads.session import (
    AcquiredOut,
    BatchOut,
    BegunSession,
    ConflictOut,
    HeldItemOut,
    HolderOut,
    ListedOut,
    MetOut,
    ReleasedOut,
    SessionIdentity,
    SessionOut,
    SessionsOut,
    VerifiedOut,
)
from sessions_app.payloads.shape import Shape
from sessions_app.roles import Role

NOW = datetime(2025, 3, 4, tzinfo=UTC)
ITEM = Item(part_number="A1", created_at=NOW, retired_at=NOW)
ADA = User(pk=1, username="ada", first_name="Ada")
CAD = Workstation(user=ADA, name="cad-1", created_at=NOW, last_seen=NOW)
CAD.away_since = CAD.idle_since = NOW
NO_CHANNELS = defaultdict(set)


def a_session():
    return EditSession(
        item=ITEM,
        user=ADA,
        workstation=CAD,
        context_level="sketch",
        dependency_cone=["Pad001"],
        fencing_token=7,
        acquired_at=NOW,
        last_heartbeat=NOW,
    )


TOKEN = ApiToken(pk=1, user=ADA, name="CAD", role="editor", shown="silo_x", created_at=NOW)
SESSION, OTHER = a_session(), a_session()
ACQUIRED = Acquired(SESSION, conflicts=[Conflict(OTHER, ["Pad001"])])
ENDING = Ending(
    pk=SESSION.pk,
    item_id=ITEM.pk,
    user_id=1,
    workstation_id=CAD.pk,
    context_level="sketch",
    object_id="",
    node_keys=1,
    note="",
    fencing_token=7,
    acquired_at=NOW,
    last_heartbeat=NOW,
    part_number="A1",
    first_name="Ada",
    last_name="",
    username="ada",
    workstation_name="cad-1",
    ended_at=NOW,
)
RECORD = Record.of(ENDING, EndReason.FORCE_RELEASED, "root", "On holiday.")
PLACE = SimpleNamespace(
    pk=uuid.uuid4(),
    item_id=ITEM.pk,
    item=ITEM,
    workstation_id=CAD.pk,
    workstation=CAD,
    note="",
    context_level="sketch",
    object_id="",
    connection_id=uuid.uuid4(),
    position=1,
    requested_at=NOW,
)

(LISTED,) = payloads.listed_json([SESSION], {SESSION.pk: [OTHER]}, {CAD.pk})
ANSWERS = [
    (ListedOut, LISTED),
    (AcquiredOut, payloads.acquired_json(ACQUIRED)),
    (HolderOut, payloads.holder_json(SESSION)),
    (HeldItemOut, payloads.held_item_json(SESSION)),
    (VerifiedOut, payloads.verified_json(SESSION)),
    (PlaceOut, payloads.place_json(PLACE)),
    (ItemInUseOut, payloads.in_use_json(ITEM, ["A01-0001"], [SESSION], [PLACE], 1)),
    (StandingOut, payloads.standing_json(Standing(PLACE, existing=False, holder=OTHER))),
    (EndedSessionOut, payloads.ended_json(RECORD)),
    (ItemOut, payloads.item_json(ITEM)),
    (WorkstationOut, payloads.workstation_json(CAD, NOW)),
    (TokenOut, me.token_json(TOKEN)),
    (NewTokenOut, me.new_token_json(TOKEN, "silo_x")),
    (MeOut, me.me_json(ADA, Role.EDITOR, TOKEN)),
    (events.TimingsOut, timings.configured().as_payload()),
]
BUILT_EVENTS = [
    *payloads.grant_events([ACQUIRED], NO_CHANNELS),
    *payloads.end_events([RECORD], NO_CHANNELS),
    payloads.resolved_event(SESSION, OTHER.pk),
    payloads.interference_event(SESSION, OTHER, ["Pad001"]),
    payloads.handoff_requested_event(SESSION, ADA, CAD.pk, "Please."),
    payloads.away_event(SESSION, set()),
    payloads.back_event(SESSION, set()),
    payloads.active_event(SESSION, set()),
    *payloads.line_events({Lock(ITEM.pk, "sketch", ""): 1}, {ITEM.pk: "A1"}, NO_CHANNELS),
    payloads.renamed_event(ITEM, "A0", set()),
    payloads.retired_event(ITEM, set()),
    payloads.restored_event(ITEM, set()),
]
# Pages and bases, whose members are those of the shapes above; and what the stream and the API write by themselves.
WITHOUT_BUILDER = {
    TokensOut,
    BatchOut,
    BegunSession,
    ConflictOut,
    HistoryOut,
    InUseOut,
    ItemsOut,
    LineOut,
    MetOut,
    OfItem,
    ReleasedOut,
    SessionIdentity,
    SessionOut,
    SessionsOut,
    WorkstationRef,
    WorkstationsOut,
    events.EndedEvent,
    events.NothingEvent,
    events.StreamOpenEvent,
}


def test_a_record_has_the_columns_of_its_table():
    columns = [field.attname for field in EndedSession._meta.concrete_fields]
    assert list(Record._fields) == columns[1:]


def test_a_session_has_a_column_for_each_member_of_what_is_wanted():
    columns = {field.attname for field in EditSession._meta.concrete_fields}
    assert {one.name for one in fields(Wanted)} - columns == {"part_number"}


def outline(value):
    """Return the names of a payload's members in their order, those of its objects and of a list's first one too."""
    if isinstance(value, list | tuple):
        return [outline(one) for one in value[:1]]
    return (
        [(name, outline(one)) for name, one in value.items()] if isinstance(value, dict) else None
    )


def shapes(base=Shape):
    for shape in base.__subclasses__():
        yield shape
        yield from shapes(shape)


def check_conforms(shape, payload):
    assert outline(payload) == outline(shape.example())
    shape.model_validate(payload, extra="forbid")


@pytest.mark.parametrize(
    ("shape", "payload"), ANSWERS, ids=lambda one: getattr(one, "__name__", "")
)
def test_an_answer_has_the_members_of_its_shape(shape, payload):
    check_conforms(shape, payload)


@pytest.mark.parametrize("event", BUILT_EVENTS, ids=lambda event: event.type)
def test_an_event_has_the_members_of_its_shape(event):
    check_conforms(events.EVENTS[event.type], event.data)


def test_every_event_and_every_shape_is_checked():
    built = {event.type for event in BUILT_EVENTS}
    assert built | {"stream-open", "stream-reset", "heartbeat"} == events.EVENTS.keys()
    checked = {shape for shape, _ in ANSWERS} | set(events.EVENTS.values()) | WITHOUT_BUILDER
    declared = {shape for shape in shapes() if shape.__module__.startswith(payloads.__name__)}
    assert {shape for shape in declared if not shape.__name__.startswith("_")} == checked


# In one order: the workers of a parallel run have to agree on it.
@pytest.mark.parametrize(
    "shape",
    sorted(set(shapes()), key=lambda shape: shape.__name__),
    ids=lambda shape: shape.__name__,
)
def test_the_example_of_a_shape_is_one(shape):
    shape.model_validate(shape.example(), extra="forbid")

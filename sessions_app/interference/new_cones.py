"""Other cones of sessions that go on: which meetings stop, and which begin."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from events_app.log.event_log import NewEvent
from sessions_app import payloads
from sessions_app.interference import compare, cones
from sessions_app.interference.choice import compared_by, load, load_meeting, to_compare
from sessions_app.interference.compare import Renewed
from sessions_app.interference.holdings import Holders
from sessions_app.models.abstract_edit_session import AbstractEditSession

if TYPE_CHECKING:
    from sessions_app.models.edit_session_queryset import EditSessionQuerySet


def renew_cones(
    every: "EditSessionQuerySet",
    new: Mapping[AbstractEditSession, Sequence[str]],
    holders: Holders,
) -> list[NewEvent]:
    """Give sessions other cones; return what tells both sides of the meetings that stop, or begin, with that.

    Args:
        new: the new cones of sessions, with their names, that others' sessions may meet. They are locked, and
            so are their items.
        holders: who holds how much on these items.
    """
    if not new:
        return []
    if to_compare(new, holders) > compare.MAX_COMPARED:
        return _renew_cones_by_index(every, new)
    old = dict(
        every.filter(pk__in=[session.pk for session in new]).values_list("pk", "dependency_cone")
    )
    renewed = [
        Renewed(compared_by(session, old[session.pk]), compared_by(session, cone))
        for session, cone in new.items()
        # The whole item meets everybody, whatever its cone.
        if session.object_id and set(old[session.pk]) != set(cone)
    ]
    both = [one.old._replace(node_keys=[*one.old.node_keys, *one.new.node_keys]) for one in renewed]
    # Found by the cones of before, and those that are whole items: none of the others changes.
    company = cones.company(every, both, by_index=False) if both else []
    set_cones(every, new)
    stop, begin = compare.changes(renewed, list({one.id: one for one in company}.values()))
    loaded = load_meeting(every, new, stop, begin)
    stopped = (payloads.resolved_event(loaded[one.session_id], one.other_id) for one in stop)
    begun = (
        payloads.interference_event(loaded[one.session_id], loaded[one.other_id], one.shared)
        for one in begin
    )
    return [*stopped, *begun]


def set_cones(
    every: "EditSessionQuerySet", new: Mapping[AbstractEditSession, Sequence[str]]
) -> None:
    """Give sessions other cones."""
    if not new:
        return
    for session, cone in new.items():
        session.dependency_cone = list(cone)
    every.bulk_update(new, ["dependency_cone"])


def _renew_cones_by_index(
    every: "EditSessionQuerySet", new: Mapping[AbstractEditSession, Sequence[str]]
) -> list[NewEvent]:
    """Do what `renew_cones` does by the index alone: the items have more node keys than one transaction reads."""
    of_objects = {session.pk: session for session in new if session.object_id}
    most = max(1, compare.MAX_PAIRS // max(1, len(of_objects)))
    before = cones.pairs(every, of_objects, most, also_among_them=True)
    set_cones(every, new)
    after = cones.pairs(every, of_objects, most, also_among_them=True)
    # Meetings beyond `most` were not read: a session that may have more gets no event of an end.
    known = {pk for pk in of_objects if len(after[pk]) < most}
    stop = [(pk, other) for pk in known for other in set(before[pk]) - set(after[pk])]
    begin = [(pk, other) for pk in of_objects for other in set(after[pk]) - set(before[pk])]
    half = compare.MAX_MEETINGS // 2
    stop, begin = sorted(stop)[:half], sorted(begin)[:half]
    loaded = load(every, new, {other for _, other in (*stop, *begin)})
    both = [(one, loaded[other]) for pk, other in begin for one in [of_objects[pk]]]
    return [
        *(payloads.resolved_event(of_objects[pk], other) for pk, other in stop),
        *(payloads.resolved_event(loaded[other], pk) for pk, other in stop),
        *(payloads.interference_event(one, other, ()) for one, other in both),
        *(payloads.interference_event(other, one, ()) for one, other in both),
    ]

"""Records of ended sessions, and what a page of their history shows."""

from datetime import UTC, datetime, timedelta

from board_app import links
from sessions_app.models import EndedSession

NOW = datetime.now(UTC)


DAY = timedelta(days=1)


def records(item, workstation, ends, **more):
    """Make a record of a session of an hour for each of these times of its end."""
    user = workstation.user
    rows = [
        EndedSession(
            item_id=item.pk,
            part_number=item.part_number,
            user_id=user.pk,
            username=user.get_username(),
            user_name=more.get("user_name", ""),
            workstation_id=workstation.pk,
            workstation_name=workstation.name,
            context_level="sketch",
            object_id=more.get("object_id", f"S{number}"),
            fencing_token=number,
            acquired_at=end - more.get("lasting", timedelta(hours=1)),
            last_heartbeat=end,
            released_at=end,
            reason=more.get("reason", "released"),
        )
        for number, end in enumerate(ends)
    ]
    return EndedSession.objects.bulk_create(rows)


def addresses(held):
    return [
        links.item_page(held.item.part_number),
        links.workstation_page(held.workstation_id),
        links.user_page(held.user.get_username()),
    ]


def shown(answer):
    """The objects in the table of an answer."""
    assert answer.status_code == 200, answer.content
    return [row.object_id for row in answer.context["rows"]]


def held_now(answer):
    """The ids of the sessions that an answer shows live."""
    return [row.session.pk for row in answer.context["page"].rows]


def drawn(answer):
    return [bar.key for lane in answer.context["layout"].lanes for bar in lane.bars]

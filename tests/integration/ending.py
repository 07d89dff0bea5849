"""The ways in which a session ends."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from sessions_app.models import EditSession, Workstation
from sessions_app.roles import Role
from tests.factories import api_of, depart, make_user, session_url

HOUR = timedelta(hours=1)
TIMEOUT = timedelta(minutes=15)


def release(session: EditSession, **_: Any) -> None:
    api_of(session.user)("DELETE", session_url(session))


def force_release(session: EditSession, **_: Any) -> None:
    path = session_url(session, "force-release") + "?reason=Holiday"
    api_of(make_user("root", Role.ADMIN))("DELETE", path)


def release_all_of_it(session: EditSession, **_: Any) -> None:
    api_of(session.user)("DELETE", f"/api/workstations/{session.workstation_id}/edit-sessions")


def delete_its_workstation(session: EditSession, **_: Any) -> None:
    api_of(session.user)("DELETE", f"/api/workstations/{session.workstation_id}")


def depart_from_it(session: EditSession, **_: Any) -> None:
    depart(session.workstation)


def let_it_time_out(session: EditSession, **_: Any) -> None:
    EditSession.objects.filter(pk=session.pk).update(last_heartbeat=Now() - HOUR)
    EditSession.objects.expire_stale(TIMEOUT)


def let_it_idle_out(session: EditSession, **_: Any) -> None:
    EditSession.objects.filter(pk=session.pk).update(acquired_at=Now() - HOUR)
    Workstation.objects.filter(pk=session.workstation_id).update(idle_since=Now() - HOUR)
    EditSession.objects.expire_idle(TIMEOUT, 100)


def deactivate_its_user(session: EditSession, on_commit: Any) -> None:
    with on_commit(execute=True):
        session.user.is_active = False
        session.user.save()


# Each with the reason on record. They take what pytest-django calls `django_capture_on_commit_callbacks`.
ENDS: dict[Callable[..., None], str] = {
    release: "released",
    force_release: "force_released",
    release_all_of_it: "released",
    delete_its_workstation: "workstation_deleted",
    depart_from_it: "disconnected",
    let_it_time_out: "expired",
    let_it_idle_out: "idle",
    deactivate_its_user: "force_released",
}

"""What the tests of the admin site have in common."""

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.test import Client

from events_app.models import Connection, ServerProcess
from sessions_app import operations
from sessions_app.models import EditSession, SweeperProcess, Workstation
from sessions_app.models.results import Wanted
from tests.factories import acquire, let_go, make_item, make_token, make_user, make_workstation

PAGES = [
    "sessions_app_item",
    "sessions_app_workstation",
    "sessions_app_editsession",
    "sessions_app_endedsession",
    "sessions_app_placeinline",
    "sessions_app_apitoken",
    "events_app_serverprocess",
    "events_app_connection",
    "sessions_app_sweeperprocess",
]

SESSIONS = "/admin/sessions_app/editsession/"
FORCE_RELEASE = SESSIONS + "force-release/"


def client_of(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def make_sessions(count: int, prefix: str = "P") -> list[EditSession]:
    """Make sessions, each on an item, of a user and on a workstation of its own."""
    return [
        acquire(
            make_workstation(make_user(f"{prefix}-user-{number}"), f"{prefix}-cad-{number}"),
            make_item(f"{prefix}-{number}"),
        ).session
        for number in range(count)
    ]


def connect(workstation: Workstation) -> Connection:
    process = ServerProcess.objects.create(hostname="server", pid=1)
    return Connection.objects.create(key=workstation.pk, process=process)


def silence(session: EditSession, **time: float) -> None:
    past = Now() - timedelta(**time)
    EditSession.objects.filter(pk=session.pk).update(last_heartbeat=past)


def text_of(response: Any) -> str:
    return str(response.content.decode())


def filled(response: Any) -> dict[str, Any]:
    """Return what a browser sends when it submits the form of a page as it is."""
    form = response.context["form"]
    return {name: form[name].field.prepare_value(form[name].value()) for name in form.fields}


def listed(response: Any) -> set[Any]:
    return {row.pk for row in response.context["cl"].result_list}


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def one_of_each() -> None:
    (session,) = make_sessions(1, "each")
    connect(session.workstation)
    acquire(session.workstation, make_item("each-ended"))
    let_go(EditSession.objects.get(item__part_number="each-ended").pk)
    make_token(session.user)
    SweeperProcess.objects.create(hostname="sweeper", pid=2, version="1", every_seconds=30.0)
    waiter = make_workstation(make_user("each-waiter"))
    connect(waiter)
    operations.line.stand(waiter.user, waiter.pk, Wanted(session.item.part_number, "sketch"))

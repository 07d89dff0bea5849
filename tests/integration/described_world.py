"""What the examples of the API's description speak of, in the database."""

from events_app.models import Connection, ServerProcess
from sessions_app.api.request_schemas import ItemIn, WorkstationIn
from sessions_app.models import EditSession, Item, PlaceInLine, Workstation
from sessions_app.payloads import examples
from sessions_app.payloads.session import HolderOut, SessionOut
from sessions_app.roles import Role
from tests.factories import acquire, let_go, make_user


def example_of(body):
    """Return the example of a request's body."""
    return body.model_json_schema()["examples"][0]


def make_described_world():
    """Make two engineers with a workstation and a session each, on one item; return the first, an admin."""
    ada, bob = make_user(examples.USER, Role.ADMIN), make_user(examples.OTHER_USER)
    item = Item.objects.create(pk=examples.ITEM_ID, **example_of(ItemIn))
    cads = [
        Workstation.objects.create(
            user=ada, pk=examples.WORKSTATION_ID, **example_of(WorkstationIn)
        ),
        Workstation.objects.create(user=bob, pk=examples.OTHER_WORKSTATION_ID, name="cad-2"),
    ]
    # With ids as the database has them, not as the examples write them.
    cads = [Workstation.objects.select_related("user").get(pk=cad.pk) for cad in cads]
    process = ServerProcess.objects.create(hostname="cad-server", pid=1)
    Connection.objects.create(pk=examples.CONNECTION_ID, key=cads[0].pk, process=process)
    for number in range(3):
        ended = acquire(cads[1], item, f"Sketch00{number}").session
        let_go(ended.pk)
    Connection.objects.create(key=cads[1].pk, process=process)
    hold(SessionOut.example(), cads[0])
    hold(HolderOut.example(), cads[1])
    # Each waits for what the other has.
    wait(HolderOut.example(), cads[0], pk=examples.REQUEST_ID)
    wait(SessionOut.example(), cads[1])
    return ada


def hold(session, workstation):
    """Make a session as an example has it."""
    EditSession.objects.create(
        pk=session["session_id"],
        item_id=examples.ITEM_ID,
        workstation=workstation,
        user=workstation.user,
        context_level=session["context_level"],
        object_id=session["object_id"],
        dependency_cone=["Pad001"],
        **({"fencing_token": session["fencing_token"]} if "fencing_token" in session else {}),
    )


def wait(session, workstation, **fields):
    """Have a workstation stand in line for what a session of an example is on."""
    PlaceInLine.objects.create(
        item_id=examples.ITEM_ID,
        workstation=workstation,
        context_level=session["context_level"],
        object_id=session["object_id"],
        **fields,
    )


def closed(description):
    """Refuse, in a description, all members that it does not name."""
    for schema in description["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return description

"""`silo request` and `silo handoff`: asking for a session, and handing it over."""

from typing import Annotated, Any, Optional
from uuid import UUID

import typer

from silo_client.api import Api
from silo_client.cli import sessions
from silo_client.cli.connection import about, connected
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.cli.options import AnyLevel, AnyObject, Part
from silo_client.cli.output import one_line, say, typed
from silo_client.cli.sessions import Filter, Json
from silo_client.common.part_numbers import name_key
from silo_client.data import Lock, person
from silo_client.errors import ApiError


def request(
    part: Part,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="The reason.", show_default=False)
    ],
    level: AnyLevel = None,
    object_id: AnyObject = None,
) -> None:
    """Ask the holder of a part's session to hand it over."""
    with connected() as api:
        found = sessions.sessions_of(api, Filter(part, level, object_id), all="true")
        held = sessions.the_one(
            found, f"Nobody is editing {Filter(part, level, object_id)}.", f"{_edit(part)} begins."
        )
        try:
            api.request_handoff(part, held["session_id"], one_line(message), _own_place(api, held))
        except ApiError as error:
            if error.code != "own_session":
                raise
            raise CommandError(
                f"You are editing {Lock.from_payload(held)} yourself, on {held['workstation']['name']}.",
                f"`{typed('silo', 'release', part)}` ends that.",
            ) from error
        say(f"Asked {person(held)} on {held['workstation']['name']} for {Lock.from_payload(held)}.")
        waiting = typed("silo", "edit", *sessions.lock_options(Lock.from_payload(held)), "--wait")
        say(
            f"A session is handed to a workstation that stands in line: `{waiting}` stands in line."
        )


def handoff(
    part: Part,
    level: AnyLevel = None,
    object_id: AnyObject = None,
    to: Annotated[
        Optional[str],
        typer.Option(
            metavar="USER|WORKSTATION|UUID",
            help="The user or workstation that gets it; by default the first in line.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Hand a session of yours over to a workstation that stands in line or has asked for it."""
    wanted = Filter(part, level, object_id)
    with connected() as api:
        held = sessions.the_one(
            sessions.sessions_of(api, wanted),
            f"You are not editing {wanted}.",
            "`silo who` says who edits what.",
        )
        target = _target(api, held, to)
        try:
            given = api.hand_off(part, held["session_id"], target)
        except ApiError as error:
            if error.code not in {"not_connected", "not_requested"}:
                raise
            raise CommandError(
                error.message,
                f"`{typed('silo', 'line', part)}` shows who stands in line;"
                f" `{typed('silo', 'release', part)}` gives it to the first of them.",
            ) from error
        say(
            f"{person(given)} on {given['workstation']['name']} has {Lock.from_payload(given)} now."
        )


def _edit(part: str) -> str:
    return f"`{typed('silo', 'edit', part)}`"


def _own_place(api: Api, held: Json) -> Optional[str]:
    """Return an own workstation that stands in line for it, for example in another terminal."""
    own = {one["id"] for one in api.workstations()}
    line = (str(place["workstation"]["id"]) for place in _line_for(api, held))
    return next((workstation for workstation in line if workstation in own), None)


def _line_for(api: Api, held: Json) -> list[Json]:
    """Return the places of those who wait for a session."""
    line = api.line(held["part_number"])
    return [place for place in line if Lock.from_payload(place) == Lock.from_payload(held)]


def _target(api: Api, held: Json, to: Optional[str]) -> str:
    """Return the id of the target workstation."""
    with about(held["part_number"]):
        line = _line_for(api, held)
    if to is None:
        if not line:
            raise CommandError(
                f"Nobody stands in line for {Lock.from_payload(held)}.",
                "--to names a workstation that has asked for it; `silo release` just ends it.",
                ExitCode.NOT_FOUND,
            )
        return str(line[0]["workstation"]["id"])
    if _is_uuid(to):
        return to
    if meant := [place for place in line if _is_meant(place, to)]:
        return str(meant[0]["workstation"]["id"])
    # A requester who does not stand in line is found by another session.
    everybody = sessions.sessions_of(api, Filter(), all="true")
    known = {
        str(one["workstation"]["id"]): str(one["workstation"]["name"])
        for one in everybody
        if _is_meant(one, to)
    }
    if len(known) == 1:
        return next(iter(known))
    if known:
        names = [f"  {name}: {pk}" for pk, name in known.items()]
        raise CommandError(
            f"{to} matches several workstations:",
            "Name one of them with --to.",
            ExitCode.USAGE,
            names,
        )
    raise CommandError(
        f"{to} neither stands in line for {Lock.from_payload(held)} nor edits anything.",
        "The hand-off request names the workstation, if the requester gave one.",
        ExitCode.NOT_FOUND,
    )


def _is_meant(payload: Any, to: str) -> bool:
    return name_key(to) in (name_key(payload["user"]), name_key(payload["workstation"]["name"]))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True

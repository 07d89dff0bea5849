"""`silo release`."""

from typing import Annotated, Optional

import typer

from silo_client.api import Api
from silo_client.cli import sessions
from silo_client.cli.connection import connected
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.cli.options import AnyLevel, AnyObject, AnyPart
from silo_client.cli.output import one_line, say
from silo_client.cli.sessions import Filter, Json
from silo_client.data import Lock
from silo_client.errors import NotFoundError


def release(
    part: AnyPart = None,
    level: AnyLevel = None,
    object_id: AnyObject = None,
    session: Annotated[
        Optional[str],
        typer.Option(
            metavar="ID",
            help="Release the session with this id; its first letters are enough.",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Release all sessions that match.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Release another user's session; for admins, with --reason."),
    ] = False,
    reason: Annotated[
        Optional[str],
        typer.Option(
            metavar="TEXT",
            help="With --force: the reason, which the holder sees and the history keeps.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Release sessions of yours, on any workstation.

    A `silo edit` that holds one of them reports it as lost; its command goes on, unless it has --on-lost end.
    """
    reason = one_line(reason or "")
    if force and not reason:
        raise CommandError(
            "--force needs a --reason: the holder sees it, and the history keeps it.",
            code=ExitCode.USAGE,
        )
    if reason and not force:
        raise CommandError("--reason goes with --force.", code=ExitCode.USAGE)
    if session is not None and (everything or not session.strip()):
        raise CommandError(
            "--session names one session, and cannot be combined with --all.",
            code=ExitCode.USAGE,
        )
    if force and everything and part is None:
        raise CommandError("--force --all needs a PART.", code=ExitCode.USAGE)
    wanted = Filter(part, level, object_id)
    with connected() as api:
        whose = {"all": "true"} if force else {}
        found = [
            one
            for one in sessions.sessions_of(api, wanted, **whose)
            if session is None or one["session_id"].startswith(session.strip().lower())
        ]
        if not found:
            raise _none(wanted, force)
        if len(found) > 1 and not everything:
            raise sessions.several(
                found, "Say which one by PART, --level, --object or --session, or --all of them."
            )
        if force:
            _force(api, found, reason)
        else:
            _release(api, found)


def _release(api: Api, found: list[Json]) -> None:
    ended = api.release_many([one["session_id"] for one in found])
    for one in found:
        say(f"Released {Lock.from_payload(one)} on {one['workstation']['name']}.")
    if ended < len(found):
        say(f"{len(found) - ended} of them had ended already.")


def _force(api: Api, found: list[Json], reason: str) -> None:
    for one in found:
        try:
            api.force_release(one["part_number"], one["session_id"], reason)
        except NotFoundError:
            say(f"{sessions.named(one)}: had ended already.")
        else:
            say(f"Released by force: {sessions.named(one)}.")


def _none(wanted: Filter, force: bool) -> CommandError:
    if force:
        message = f"Nobody is editing {wanted}."
    elif wanted == Filter():
        message = "You are editing nothing."
    else:
        message = f"You are not editing {wanted}."
    return CommandError(message, "`silo who` says who edits what.", ExitCode.NOT_FOUND)

"""`silo edit`: holds a session while a command runs."""

import os
import threading
from contextlib import closing
from enum import Enum
from typing import Annotated, Optional, Union

import typer

from silo_client.api import Api
from silo_client.cli.connection import about, current_login, make_api
from silo_client.cli.editing.child import Child, check_command
from silo_client.cli.editing.closing import hold_until_closed, report_leftover, wait_until_ended
from silo_client.cli.editing.guard import Guard, describe_conflict
from silo_client.cli.editing.progress import Progress
from silo_client.cli.exit_codes import CommandError, ExitCode
from silo_client.cli.options import Level, Part
from silo_client.cli.output import WARNING, err, one_line, say, typed, when
from silo_client.cli.sessions import command_for
from silo_client.cli.signals import ENDING, handling, terminated
from silo_client.credentials import Login
from silo_client.data import Lock, Wanted
from silo_client.errors import HardInterferenceError
from silo_client.sessions.edit_session import EditSession
from silo_client.workstation import Workstation


class OnLost(str, Enum):
    """The reaction to a lost session."""

    warn = "warn"
    end = "end"


def edit(
    part: Part,
    command: Annotated[
        Optional[list[str]],
        typer.Argument(
            metavar="-- COMMAND",
            help="The command to run; without one, the session is held until Ctrl-C.",
            show_default=False,
        ),
    ] = None,
    level: Annotated[
        Level, typer.Option("--level", "-l", help="The context level.")
    ] = Level.assembly,
    object_id: Annotated[
        str,
        typer.Option(
            "--object",
            "-o",
            metavar="OBJECT",
            help="The object, such as Sketch001; by default the whole part.",
            show_default=False,
        ),
    ] = "",
    wait: Annotated[
        bool,
        typer.Option("--wait", "-w", help="Stand in line if the part is being edited elsewhere."),
    ] = False,
    wait_for: Annotated[
        Optional[float],
        typer.Option(
            metavar="SECONDS",
            min=0,
            help="Stand in line for at most this long.",
            show_default=False,
        ),
    ] = None,
    ask: Annotated[
        str,
        typer.Option(
            metavar="MESSAGE",
            help="Ask the holder to hand the session over, and stand in line.",
            show_default=False,
        ),
    ] = "",
    note: Annotated[
        Optional[str],
        typer.Option(
            metavar="TEXT",
            help="A note for everybody who sees the session: “until Friday, with the supplier”.",
            show_default=False,
        ),
    ] = None,
    take: Annotated[
        bool,
        typer.Option(
            "--take",
            help="Force-release another user's session and take its place, ahead of the line. For admins, with"
            " --reason.",
        ),
    ] = False,
    reason: Annotated[
        str,
        typer.Option(
            metavar="TEXT",
            help="With --take: the reason, which the holder sees and the history keeps.",
            show_default=False,
        ),
    ] = "",
    on_lost: Annotated[
        OnLost,
        typer.Option(
            help="If the session is lost while the command runs: warn, or end the command."
        ),
    ] = OnLost.warn,
    until_closed: Annotated[
        bool,
        typer.Option(
            "--until-closed",
            help="Hold the session until every process that the command started has ended, for a command that only"
            " opens a file in another program. If that program was already running, hold it until Ctrl-C.",
        ),
    ] = False,
) -> None:
    """Edit a part: hold its session while a command runs.

    The session is released when the command or this terminal ends.

    The command has SILO_PART_NUMBER, SILO_SESSION_ID, SILO_FENCING_TOKEN and SILO_URL in its environment. Each
    `silo edit` is a workstation of its own, so two of them exclude each other.

    Example: `silo edit 'DIN 912/M5' --wait -- freecad M5.FCStd`

    A command that ends while the file that it opened is still open needs --until-closed:
    `silo edit A01-0002 --until-closed -- xdg-open A01-0002.FCStd`
    """
    if command:
        check_command(command)
    _check_taking(take, one_line(reason), wait or wait_for is not None or bool(ask))
    wanted = Wanted(part, level.value, object_id, note=None if note is None else one_line(note))
    waiting = (wait or bool(ask)) if wait_for is None else wait_for
    login = current_login()
    connected: list[Workstation] = []
    child = Child(command, lambda: {one.helper_pid for one in connected}) if command else None
    # The guard has connections of its own: it may send a request while the workstation closes.
    with handling(ENDING, terminated), closing(make_api(login)) as api:
        end = child.end if child is not None and on_lost is OnLost.end else _go_on
        guard = Guard(api, end)
        with Progress() as progress:
            if err.is_terminal:
                progress.show(f"Connecting to {login.url}")
            workstation = _connect(login, guard)
        connected.append(workstation)
        with workstation, about(part):
            if workstation.copied_from:
                say(
                    f"Another machine is connected as {workstation.copied_from}: this one is a copy of it, and is"
                    f" now {workstation.name}.",
                    WARNING,
                )
            session = _acquire(workstation, wanted, waiting, one_line(ask), one_line(reason))
            with session:
                code = _hold(session, login.url, guard, child, until_closed)
    raise typer.Exit(code)


def _go_on() -> None:
    """The command goes on."""


def _connect(login: Login, guard: Guard) -> Workstation:
    """Connect as this machine's first numbered workstation that no other `silo edit` uses."""
    make_api(login).close()  # reports an invalid URL or CA file
    return Workstation.connect(
        login.url,
        login.token,
        ca_file=login.ca_file,
        program="silo",
        numbered=True,
        on_lost=guard.say_lost,
        on_conflict=guard.say_conflict,
        on_conflict_over=guard.say_conflict_over,
        on_handoff_request=guard.say_request,
        on_refused=guard.keep_refusal,
    )


def _check_taking(take: bool, reason: str, waits: bool) -> None:
    if take != bool(reason):
        raise CommandError(
            "Use --take and --reason together: the holder sees the reason, and the history keeps it.",
            code=ExitCode.USAGE,
        )
    if take and waits:
        raise CommandError(
            "--take cannot be combined with --wait, --wait-for or --ask.", code=ExitCode.USAGE
        )


def _acquire(
    workstation: Workstation, wanted: Wanted, wait: Union[bool, float], ask: str, reason: str
) -> EditSession:
    """Acquire the session, by force where there is a reason; report its conflicts."""
    lock = wanted.lock
    # No other process uses this workstation, so the sessions that it holds are those of a dead one.
    left = [one for one in workstation.unclaimed() if Lock.from_payload(one) != lock]
    workstation.api.release_many([one["session_id"] for one in left])
    try:
        with Progress() as progress:
            session = workstation.edit(
                lock.part_number,
                level=lock.level,
                object_id=lock.object_id,
                note=wanted.note,
                wait=wait,
                on_wait=progress.waiting,
                ask=ask,
            )
    except HardInterferenceError as error:
        if not reason:
            raise _refused(workstation.api, lock, error) from error
        session = workstation.take_over(wanted, error.holder.session_id, reason)
        say(f"Taken over from {error.holder.person} on {error.holder.workstation}.")
    for conflict in session.conflicts:
        say(f"{describe_conflict(conflict)}.", WARNING)
    return session


def _refused(api: Api, lock: Lock, error: HardInterferenceError) -> CommandError:
    """Return the error where the part is being edited elsewhere."""
    holder = error.holder
    own, _ = api.sessions(item=lock.part_number)
    where = f"on {holder.workstation} since {when(holder.acquired_at)}"
    note = f": “{holder.note}”" if holder.note else ""
    if holder.session_id in {one["session_id"] for one in own}:
        return CommandError(
            f"You are editing {lock} yourself, {where}.",
            f"`{command_for('release', lock)}` ends that.",
            ExitCode.HELD,
        )
    waiting = typed("silo", "edit", lock.part_number, *_options(lock), "--wait")
    return CommandError(
        f"{holder.person} is editing {lock} {where}{note}.",
        f"`{waiting}` stands in line, `{command_for('request', lock, '-m')} ...` asks for it.",
        ExitCode.HELD,
    )


def _options(lock: Lock) -> list[str]:
    """Return the options of `silo edit` that differ from their defaults."""
    level = [] if lock.level == Level.assembly.value else ["--level", lock.level]
    return level + (["--object", lock.object_id] if lock.object_id else [])


def _hold(
    session: EditSession, url: str, guard: Guard, child: Optional[Child], until_closed: bool
) -> int:
    """Run the command, or wait for Ctrl-C; return the exit code."""
    threading.Thread(target=guard.watch, args=(session,), daemon=True, name="guard").start()
    code = int(ExitCode.OK)
    try:
        if child is None:
            say(f"Editing {session.lock} until Ctrl-C.")
            wait_until_ended(guard)
        else:
            code = child.run(_environment(session, url))
            if until_closed:
                hold_until_closed(session.lock, child, guard, code)
    finally:
        guard.stop()
    kept = guard.is_kept(session)
    if kept:
        if child is not None and not until_closed:
            report_leftover(session.lock, child, code)
        return code
    if child is not None:
        was_lost = "was lost" if kept is False else "may have been lost"
        say(
            f"The command ended with {code}, but its session {was_lost} before: exit code {int(ExitCode.LOST)}."
        )
    return ExitCode.LOST


def _environment(session: EditSession, url: str) -> dict[str, str]:
    """Return the environment of the command. It has a token only if this process has one in its own."""
    return {
        **os.environ,
        "SILO_URL": url,
        "SILO_PART_NUMBER": session.part_number,
        "SILO_SESSION_ID": session.id,
        "SILO_FENCING_TOKEN": str(session.fencing_token),
    }

"""The command `silo`: its commands, and how it ends."""

import logging
import os
import sys
import traceback
from typing import Annotated

import typer

from silo_client.cli.commands import handoff, history, lists, login, parts, release, watch, whoami
from silo_client.cli.commands.edit import edit
from silo_client.cli.environment import drop_odd_widths, open_what_is_closed, readable
from silo_client.cli.exit_codes import KILLED, CommandError, ExitCode, explain
from silo_client.cli.help import Command, Group
from silo_client.cli.output import BROKEN_PIPE, one_line, say
from silo_client.cli.signals import Terminated
from silo_client.common.visible import visible_lines
from silo_client.errors import SiloError
from silo_client.version import __version__

DEBUG_VARIABLE = "SILO_DEBUG"
# Typer raises this for an invalid command line; its name differs between versions of typer.
UsageProblem: type[Exception] = typer.BadParameter.__mro__[2]

_EPILOG = "\n".join(
    [
        "Exit codes:\n",
        *(f"* {int(code)}: {code.reason}" for code in ExitCode),
        f"* {KILLED} + n: ended by signal n\n",
        "In all other cases `silo edit` ends with the code of its command.",
    ]
)

app = typer.Typer(
    cls=Group,
    help="Edit sessions of a Silo server: see who edits what, and edit.",
    epilog=_EPILOG,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"silo {__version__}")
        raise typer.Exit


@app.callback()
def silo(
    shown: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Edit sessions of a Silo server: see who edits what, and edit."""


for _command in (
    login.login,
    login.logout,
    whoami.whoami,
    lists.who,
    edit,
    watch.watch,
    release.release,
    handoff.request,
    handoff.handoff,
    lists.line,
    history.history,
    lists.items,
    parts.rename,
    parts.retire,
):
    app.command(cls=Command)(_command)


def run() -> None:
    """Run `silo` with the arguments of the process, and end with its exit code."""
    _log_visibly()
    open_what_is_closed()
    drop_odd_widths(os.environ)
    for stream in (sys.stdout, sys.stderr):
        # A part number that the terminal cannot display must not be an error.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    sys.exit(_code())


class _Formatter(logging.Formatter):
    """The format of all log lines, also of other packages."""

    def format(self, record: logging.LogRecord) -> str:
        return visible_lines(super().format(record))


def _log_visibly() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("silo: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def _code() -> int:
    try:
        words = readable(sys.argv[1:])
        ended = typer.main.get_command(app).main(words, prog_name="silo", standalone_mode=False)
        return ended if isinstance(ended, int) else ExitCode.OK
    except CommandError as error:
        return _report(error)
    except SiloError as error:
        return _report(explain(error))
    except UsageProblem as error:
        return _report_usage(error)
    except (KeyboardInterrupt, typer.Abort):
        return KILLED + 2
    except Terminated as ended:
        return KILLED + ended.number
    except BrokenPipeError:
        return BROKEN_PIPE
    except OSError as error:
        # For example, the disk to which the output goes is full.
        return _report(CommandError(f"{error}."))
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            sys.stderr.write(visible_lines(traceback.format_exc()) + "\n")
        say(f"{type(error).__name__}: {error}")
        say(f"This is a bug in silo; {DEBUG_VARIABLE}=1 shows where.")
        return ExitCode.ERROR


def _report(error: CommandError) -> int:
    say(error.message)
    for line in error.lines:
        say(line)
    if error.advice:
        say(error.advice)
    return error.code


def _report_usage(error: Exception) -> int:
    # Some messages have several lines.
    message = one_line(getattr(error, "format_message", error.__str__)())
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "silo"
    if message:
        say(message)
        say(f"`{path} --help` shows the usage.")
    # Without a message there was no command, and the help has been shown.
    return ExitCode.USAGE

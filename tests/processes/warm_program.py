"""A process with the libraries loaded, which forks processes of the tests: `warm_program.py SOCKET`.

Each message of `warm.py` names a script or a module, its arguments and its environment, and comes with four
descriptors: of the process's input, output and errors, and of the pipe that tells its exit code. The process runs the
script as `python -W error SCRIPT` does, or the module as `python -W error -m MODULE` does; the project's modules, the
settings and the handlers of signals are its own.
"""

import gc
import importlib
import io
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Any

# Other people's only, and none that reads Django's settings or chooses Twisted's reactor when it is loaded.
LIBRARIES = (
    "autobahn.twisted.websocket",
    "cryptography.x509",
    "django.contrib.admin.utils",
    "django.contrib.auth.hashers",
    "django.contrib.postgres.aggregates",
    "django.contrib.postgres.fields",
    "django.contrib.postgres.indexes",
    "django.contrib.staticfiles.finders",
    "django.core.checks",
    "django.core.handlers.asgi",
    "django.core.management",
    "django.core.serializers.pyyaml",
    "django.core.serializers.xml_serializer",
    "django.db.backends.postgresql.base",
    "django.db.migrations.executor",
    "django.db.models",
    "django.forms",
    "django.template.loader",
    "django.test",
    "django.urls",
    "django.views.debug",
    "gripcontrol",
    "httpx",
    "hyperlink",
    "OpenSSL.SSL",
    "httpx_sse",
    "markdown_it",
    "platformdirs",
    "psycopg",
    "psycopg_pool",
    "pydantic",
    "pydantic_settings",
    "requests",
    "rich.markdown",
    "rich.traceback",
    "sqlparse",
    "twisted.internet.asyncioreactor",
    "twisted.internet.ssl",
    "twisted.internet.tcp",
    "twisted.protocols.tls",
    "twisted.web.http",
    "typer.rich_utils",
    "whitenoise.base",
)

_SIZE = struct.Struct("!I")
_CODE = struct.Struct("!i")


def main() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    assert "twisted.internet.reactor" not in sys.modules, "a reactor is a process's own"
    gc.collect()
    # What is there by now stays, and need not be looked at again by each process.
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as orders:
        order = serve(orders)
    if order:
        run(order)


def serve(orders: socket.socket) -> dict[str, Any] | None:
    """Fork a process for each order until there are none any more; return the order in the process forked for it."""
    exits: dict[int, int] = {}
    ended, tell_end = socket.socketpair()
    ended.setblocking(False)
    tell_end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(tell_end.fileno(), warn_on_full_buffer=False)
    with ended, tell_end:
        while True:
            readable, _, _ = select.select([orders, ended], [], [])
            if ended in readable:
                ended.recv(4096)
                report(exits)
            if orders not in readable:
                continue
            order, descriptors = receive(orders)
            if order is None:
                return None
            *standard, exit_pipe = descriptors
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.setsid()
                for number, descriptor in enumerate(standard):
                    os.dup2(descriptor, number)
                for descriptor in (*descriptors, *exits.values()):
                    os.close(descriptor)
                return order
            for descriptor in standard:
                os.close(descriptor)
            exits[pid] = exit_pipe
            orders.sendall(_SIZE.pack(pid))


def receive(orders: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """Return the next order and its descriptors; no order where nobody gives any more."""
    header, descriptors, _, _ = socket.recv_fds(orders, _SIZE.size, 4)
    if not header:
        return None, []
    (left,) = _SIZE.unpack(header)
    parts = []
    while left:
        parts.append(orders.recv(left))
        left -= len(parts[-1])
    return json.loads(b"".join(parts)), descriptors


def report(exits: dict[int, int]) -> None:
    """Tell the exit codes of those that have ended."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pipe = exits.pop(ended[0])
            with suppress(BrokenPipeError):
                os.write(pipe, _CODE.pack(os.waitstatus_to_exitcode(ended[1])))
            os.close(pipe)


def open_standard_streams() -> None:
    """Have Python's streams know what they are now, as they do where the interpreter has just started, unbuffered."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        before = getattr(sys, name)
        raw: Any = io.FileIO(number, "w" if number else "r", closefd=False)
        stream = io.TextIOWrapper(
            raw if number else io.BufferedReader(raw),
            before.encoding,
            before.errors,
            newline="\n" if number else None,
            write_through=bool(number),
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def run(order: dict[str, Any]) -> None:
    """Be the process that was ordered."""
    os.environ.clear()
    os.environ.update(order["env"])
    time.tzset()
    open_standard_streams()
    os.chdir(order["cwd"])
    sys.argv = order["command"]
    if sys.argv[0] == "-m":
        _, module, *arguments = sys.argv
        sys.path[0] = os.getcwd()
        sys.argv = [module, *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()

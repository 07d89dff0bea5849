"""A program that ends while something is pending: `ending_program.py WHAT URL TOKEN PART`.

Says when it is connected, waits for a line (the server is frozen meanwhile), begins, and ends.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from silo_client import SiloError, Workstation


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def begin(function: object, *arguments: object, **options: object) -> None:
    """Call a function in a daemon thread, and give it the time to begin."""

    def call() -> None:
        with suppress(SiloError):
            function(*arguments, **options)  # type: ignore[operator]

    threading.Thread(target=call, daemon=True).start()
    time.sleep(0.3)


def main(what: str, url: str, token: str, part: str) -> None:
    called, forever = threading.Event(), threading.Event()

    def on_state(connected: bool, valid: bool) -> None:
        called.set()
        if what == "callback":
            forever.wait()

    workstation = Workstation.connect(url, token, on_state=on_state)
    session = workstation.edit(part, level="sketch")
    say("connected")
    sys.stdin.readline()
    if what == "connect":
        begin(Workstation.connect, url, token, program="other")
    elif what == "cancelled":
        cancel = threading.Event()
        # Python waits for such threads at the end.
        pool = ThreadPoolExecutor()
        pool.submit(Workstation.connect, url, token, program="other", cancel=cancel)
        time.sleep(0.3)
        cancel.set()
    elif what == "edit":
        begin(workstation.edit, part, level="sketch", object_id="other", wait=True)
        begin(session.release)
    elif what == "callback":
        called.wait()
    elif what == "close":
        begin(workstation.close)
    say("ending")


if __name__ == "__main__":
    main(*sys.argv[1:])

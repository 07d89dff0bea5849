"""A program with windows that gets callbacks: `gui_program.py TOOLKIT`, a Qt binding or `tkinter`.

Two threads have callbacks called while the main loop runs; then the loop ends, and one more is called. Prints as JSON
what came.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
import threading
from typing import Any

from silo_client.callbacks import Callbacks, Dispatch
from silo_client.gui import qt_dispatch, tk_dispatch

CALLS = 500
PATIENCE_SECONDS = 20.0


class Qt:
    """An application of Qt without windows."""

    def __init__(self, binding: str) -> None:
        self._binding = binding
        self._core: Any = importlib.import_module(f"{binding}.QtCore")
        self._application = self._core.QCoreApplication([])
        self.dispatch: Dispatch = qt_dispatch()

    def run(self) -> None:
        self._core.QTimer.singleShot(int(1000 * PATIENCE_SECONDS), self.quit)
        # Older bindings have no `exec`.
        (getattr(self._application, "exec", None) or self._application.exec_)()

    def quit(self) -> None:
        self._application.quit()

    def end(self) -> None:
        """Make it look as after the application's end: Qt has no application object any more."""
        if hasattr(self._application, "shutdown"):
            self._application.shutdown()
        else:
            importlib.import_module(f"{self._binding}.sip").delete(self._application)


class Tk:
    """A window of tkinter."""

    def __init__(self) -> None:
        import tkinter

        self._root = tkinter.Tk()
        self.dispatch: Dispatch = tk_dispatch(self._root)

    def run(self) -> None:
        self._root.after(int(1000 * PATIENCE_SECONDS), self._root.quit)
        self._root.mainloop()

    def quit(self) -> None:
        self._root.quit()

    def end(self) -> None:
        self._root.destroy()


def main(toolkit: str) -> None:
    logging.basicConfig(format="%(levelname)s %(message)s")
    gui: Any = Tk() if toolkit == "tkinter" else Qt(toolkit)
    callbacks = Callbacks(gui.dispatch)
    came: list[tuple[int, int]] = []
    threads: set[int] = set()

    def called(thread: int, number: int) -> None:
        came.append((thread, number))
        threads.add(threading.get_ident())
        if len(came) == 2 * CALLS:
            gui.quit()

    def send(thread: int) -> None:
        for number in range(CALLS):
            callbacks.call("on_event", called, thread, number)

    senders: list[threading.Thread] = [
        threading.Thread(target=send, args=(one,), daemon=True) for one in range(2)
    ]
    for sender in senders:
        sender.start()
    gui.run()
    in_order = all([n for t, n in came if t == one] == list(range(CALLS)) for one in range(2))
    gui.end()
    callbacks.call("on_lost", called, 2, 0)
    print(
        json.dumps(
            {
                "came": len(came),
                "in_order": in_order,
                "in_the_gui_thread": threads == {threading.get_ident()},
                "undelivered": [one.callback for one in callbacks.undelivered],
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

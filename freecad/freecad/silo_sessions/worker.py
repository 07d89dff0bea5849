"""One thread that asks the server, in order, so that the GUI waits for no network longer than it wants to."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

logger = logging.getLogger("silo_client.freecad")

T = TypeVar("T")

# Has a function called in the GUI thread.
Post = Callable[[Callable[[], Any]], Any]


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """The end of a task: its value, or the exception that it raised."""

    value: T | None = None
    error: Exception | None = None


Then = Callable[[Outcome[T]], Any]


class Worker:
    """Runs tasks one after the other in a daemon thread, which never delays the end of the program.

    Args:
        post: has a function called in the GUI thread.
    """

    def __init__(self, post: Post) -> None:
        self._post = post
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name="silo worker")
        self._thread.start()

    def do(self, task: Callable[[], T], then: Then[T] | None = None) -> None:
        """Run a task; then have `then` called with its outcome in the GUI thread."""
        self._tasks.put(lambda: self._deliver(_outcome(task), then))

    def ask(self, task: Callable[[], T], seconds: float, late: Then[T]) -> Outcome[T] | None:
        """Run a task and wait for its outcome, but no longer than some seconds.

        Args:
            task: runs in the worker's thread, after those that were given before it.
            seconds: how long this thread waits.
            late: called in the GUI thread with an outcome that came too late.

        Returns:
            the outcome; None where it did not come in time.
        """
        finished = threading.Event()
        turn = threading.Lock()
        outcomes: list[Outcome[T]] = []
        given_up = False

        def run() -> None:
            outcome = _outcome(task)
            with turn:
                outcomes.append(outcome)
                is_late = given_up
            finished.set()
            if is_late:
                self._deliver(outcome, late)

        self._tasks.put(run)
        finished.wait(seconds)
        with turn:
            given_up = not outcomes
        return outcomes[0] if outcomes else None

    def close(self, seconds: float) -> None:
        """Let the tasks that were given end, but wait no longer than some seconds."""
        self._tasks.put(None)
        self._thread.join(seconds)

    def _deliver(self, outcome: Outcome[T], then: Then[T] | None) -> None:
        if then is not None:
            chosen = then
            self._post(lambda: chosen(outcome))
        elif outcome.error is not None:
            logger.warning("%s", outcome.error)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except Exception:
                logger.exception("an answer could not be delivered")


def _outcome(task: Callable[[], T]) -> Outcome[T]:
    try:
        return Outcome(value=task())
    except Exception as error:
        return Outcome(error=error)

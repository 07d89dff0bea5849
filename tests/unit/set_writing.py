"""A set writer without a database: what is asked of it, and what carries its sets out."""

import asyncio
import threading
from dataclasses import dataclass

import psycopg
from django.db import OperationalError

from events_app.database.set_queue import Bounds
from events_app.database.set_writer import SetWriter


@dataclass(frozen=True)
class Wish:
    """A request."""

    name: object
    keys: tuple = ()
    caller: str = ""
    weight: int = 1


class Refused(Exception):
    """An outcome that is a refusal."""


class Executor:
    """Carries out sets, and keeps them. It can be held in the middle of one, and fail."""

    def __init__(self):
        # Of the sets that were begun: names and threads.
        self.sets = []
        self.threads = set()
        self.committed = []
        self.go = threading.Event()
        self.go.set()
        self.refused = set()
        # Returns the error of a set, or None.
        self.error = lambda names: None

    def __call__(self, requests):
        names = [one.name for one in requests]
        self.sets.append(names)
        self.threads.add(threading.current_thread())
        assert self.go.wait(20)
        if error := self.error(names):
            raise error
        self.committed += names
        return [Refused(name) if name in self.refused else f"done {name}" for name in names]


class Writing:
    """A writer, with helpers."""

    def __init__(self, **bounds):
        self.executor = Executor()
        self.writer = SetWriter(
            self.executor,
            name="test",
            keys=lambda one: one.keys,
            caller=lambda one: one.caller,
            weight=lambda one: one.weight,
            bounds=Bounds(**bounds),
        )
        self.tasks = []

    def submit(self, *wishes, **options):
        """Submit these in tasks, which are returned."""
        wishes = [one if isinstance(one, Wish) else Wish(one) for one in wishes]
        tasks = [asyncio.create_task(self._submitted(one, **options)) for one in wishes]
        self.tasks += tasks
        return tasks

    async def _submitted(self, wish, **options):
        return await self.writer.submit(wish, **options)

    async def hold(self):
        """Have a set held in the thread, so that what comes now waits."""
        self.executor.go.clear()
        before = len(self.executor.sets)
        (task,) = self.submit("first")
        await until(lambda: len(self.executor.sets) > before)
        return task

    async def waiting(self, count, caller=""):
        await until(lambda: self.writer.waiting(caller) == count)

    async def results(self, tasks=None):
        """Let all run, and return the outcomes, or the errors."""
        self.executor.go.set()
        async with asyncio.timeout(20):
            return await asyncio.gather(*(tasks or self.tasks), return_exceptions=True)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (of another thread, too)
            await asyncio.sleep(0.001)


def run(scene, **bounds):
    """Run a scene with a writer."""

    async def main():
        writing = Writing(**bounds)
        try:
            await scene(writing)
        finally:
            writing.executor.go.set()
            async with asyncio.timeout(20):
                await writing.writer.close()
                # What still waited is refused.
                await asyncio.gather(*writing.tasks, return_exceptions=True)
        for thread in writing.executor.threads:
            thread.join(20)
            assert not thread.is_alive()

    asyncio.run(main())


def statement_error(cause=psycopg.errors.DeadlockDetected):
    error = OperationalError("refused")
    error.__cause__ = cause()
    return error


def lost():
    error = OperationalError("server closed the connection unexpectedly")
    error.__cause__ = psycopg.OperationalError()
    return error

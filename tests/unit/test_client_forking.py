"""What a forked child of a program does with what its parent has: nothing."""

import gc
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import pytest

from silo_client import Api, Workstation
from silo_client.common.protocol import Plan
from silo_client.common.shared_memory import SharedMemory
from silo_client.forking import Owner
from silo_client.identity.file_lock import FileLock
from silo_client.identity.registration import Registration
from silo_client.link.helper_link import HelperLink
from tests.waiting import eventually


def in_child(work):
    """Do something in a forked child, which then ends; return what it returned, or its error."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        # Nothing of pytest's may go on here.
        try:
            signal.alarm(20)
            os.write(writing, repr(work()).encode())
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        answer = told.read().decode()
    assert os.waitpid(pid, 0) == (pid, 0)
    return answer


def test_owner_knows_its_process():
    owner = Owner()
    owner.check()
    assert owner.is_here
    assert in_child(lambda: owner.is_here) == "False"
    assert in_child(owner.check).startswith(
        f"ForkedError: The workstation belongs to process {os.getpid()}"
    )


def test_a_locked_file_stays_the_parents(tmp_path):
    lock = FileLock.take(tmp_path / "file")
    assert in_child(lock.release) == "None"
    assert in_child(lambda: FileLock.take(tmp_path / "file")) == "None"
    assert in_child(gc.collect).isdecimal()
    assert FileLock.take(tmp_path / "file") is None
    lock.release()
    FileLock.take(tmp_path / "file").release()


def test_locked_file_is_free_when_the_parent_is_dead_though_a_child_lives(tmp_path):
    script = (
        "import os, pathlib, signal, time; from silo_client.identity.file_lock import FileLock\n"
        f"lock = FileLock.take(pathlib.Path({str(tmp_path / 'file')!r}))\n"
        "child = os.fork()\n"
        "if child: print(child, flush=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    try:
        assert FileLock.take(tmp_path / "file") is None
        parent.kill()
        parent.wait()
        eventually(lambda: FileLock.take(tmp_path / "file")).release()
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


def make_python(folder):
    python = folder / "python"
    python.write_text(f"#!/bin/sh\necho '{{\"started\": 1}}'\ncat >>{folder}/heard\n")
    python.chmod(0o755)
    return python


def make_link(folder):
    """Yield a link to a helper that notes what it is told."""
    python = make_python(folder)
    shared = SharedMemory(folder / "memory", new=True)
    plan = Plan("http://127.0.0.1:1", "t", "w", str(shared.path), "/nowhere")
    messages = []
    made = HelperLink(plan, shared, messages.append, str, str(python))
    made.start()
    eventually(lambda: messages)
    yield made
    made.close()


@pytest.fixture
def link(tmp_path):
    yield from make_link(tmp_path)


def heard(tmp_path):
    return (tmp_path / "heard").read_text().splitlines()


def test_child_sends_no_command(link, tmp_path):
    link.memory.valid_until = 1e12

    def use_it():
        link.send(release=["s1"])
        link.send_and_confirm(release=["s2"])
        link.close()
        return link.valid_until()

    assert in_child(use_it) == "0.0"
    assert link.valid_until() == 1e12
    assert link.memory.path.exists()
    link.send(hold=["s3"])
    eventually(lambda: len(heard(tmp_path)) == 2)
    assert heard(tmp_path)[1] == '{"hold": ["s3"]}'


def test_child_sends_no_command_while_a_thread_was_sending(link):
    with link._sending:
        assert in_child(lambda: link.send(release=["s1"]).check()) == "None"


def test_child_that_exits_normally_sends_no_command(tmp_path):
    """It collects everything and flushes what has buffers, in whatever state the parent's threads have left it."""
    script = f"""
import os, sys
from pathlib import Path
from tests.unit.test_client_forking import make_link
made = make_link(Path({str(tmp_path)!r}))
one = next(made)
for _ in range(5):
    if not (pid := os.fork()):
        del one, made
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
one.send(hold=["s1"])
next(made, None)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert heard(tmp_path)[1:] == ['{"hold": ["s1"]}', '{"leave": true}']


def test_a_child_does_not_keep_the_helper_from_seeing_that_its_parent_is_gone(link):
    pipes = [link._process._process.stdin, link._process._process.stdout]
    assert in_child(lambda: [pipe.closed for pipe in pipes]) == "[True, True]"
    assert not any(pipe.closed for pipe in pipes)


def test_child_uses_connections_of_its_own(monkeypatch):
    """Two processes that share one would read each other's answers."""
    asked = []
    monkeypatch.setattr(
        httpx.Client,
        "request",
        lambda client, *_, **__: asked.append(id(client)) or httpx.Response(200, json={}),
    )
    api = Api("http://127.0.0.1:1", "token")
    api.call("GET", "/")

    def ask():
        api.call("GET", "/")
        api.call("GET", "/")
        api.close()
        return len(set(asked)), len(asked)

    assert in_child(ask) == "(2, 3)"
    api.call("GET", "/")
    assert len(set(asked)) == 1
    assert in_child(api.close) == "None"
    api.close()


@contextmanager
def held_by_a_thread(lock):
    """Have another thread hold a lock, which in a child nobody ever releases."""
    taken, done = threading.Event(), threading.Event()

    def hold():
        with lock:
            taken.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert taken.wait(20)
        yield
    finally:
        done.set()
        thread.join()


@pytest.fixture
def workstation(tmp_path):
    instance = SimpleNamespace(
        sole=False,
        new_memory=lambda: SharedMemory(tmp_path / "memory", new=True),
        touched=SimpleNamespace(file=tmp_path / "touched"),
        files=[],
        close=lambda: None,
    )
    registration = Registration({"id": "w1", "name": "cad-1"}, instance, "", None)
    api = Api("http://127.0.0.1:1", "t")
    python = str(make_python(tmp_path))
    made = Workstation(api, registration, patience=5, dispatch=print, python=python)
    made._link.start()
    made._link.memory.valid_until = 1e12
    yield made
    made.close()


def test_child_knows_that_nothing_is_its_own_while_a_thread_has_the_lock(workstation):
    assert workstation.valid
    with held_by_a_thread(workstation.held._changed):
        assert in_child(lambda: (workstation.connected, workstation.valid)) == "(False, False)"


def test_child_neither_sets_nor_asks_what_belongs_to_the_parents_threads(workstation):
    with held_by_a_thread(workstation._state._changed):
        told = in_child(lambda: setattr(workstation, "on_state", print))
    assert told.startswith("ForkedError")
    with held_by_a_thread(workstation._callbacks._lock):
        assert in_child(lambda: workstation.undelivered).startswith("ForkedError")

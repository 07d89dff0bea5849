"""Callbacks that `dispatch` refuses, forgets or delays, and the choice of a Qt binding."""

import sys
import threading
from types import ModuleType, SimpleNamespace

import pytest

from silo_client import callbacks as module
from silo_client.callbacks import Callbacks
from silo_client.gui import qt_dispatch, tk_dispatch
from tests.waiting import eventually


def refuse(call):
    raise RuntimeError("the window is gone")


@pytest.fixture
def soon_late(monkeypatch):
    monkeypatch.setattr(module, "LATE_SECONDS", 0.05)


def test_refused_callback_is_kept_and_logged(caplog):
    callbacks = Callbacks(refuse)
    assert not callbacks.call("on_lost", print, "P-1", "released")
    [lost] = callbacks.undelivered
    assert (lost.callback, lost.arguments) == ("on_lost", ("P-1", "released"))
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert "on_lost('P-1', 'released') was refused by `dispatch`" in record.getMessage()
    assert "the window is gone" in record.getMessage()


def test_only_the_latest_refused_ones_are_kept():
    callbacks = Callbacks(refuse)
    for number in range(150):
        callbacks.call("on_event", print, number)
    assert [one.arguments for one in callbacks.undelivered] == [(n,) for n in range(50, 150)]


def test_what_was_called_before_dispatch_failed_is_not_lost():
    def call_and_fail(call):
        call()
        raise RuntimeError

    called = []
    callbacks = Callbacks(call_and_fail)
    assert callbacks.call("on_lost", called.append, 1)
    assert called == [1]
    assert callbacks.undelivered == []


def test_forgotten_callback_is_seen_and_may_come_after_all(caplog, soon_late):
    calls, called = [], []
    callbacks = Callbacks(calls.append)
    assert callbacks.call("on_lost", called.append, "P-1")
    eventually(lambda: callbacks.undelivered)
    assert "on_lost('P-1') has not been called" in str(callbacks.undelivered[0])
    eventually(lambda: caplog.records)
    assert caplog.records[0].levelname == "ERROR"
    calls.pop()()
    assert called == ["P-1"]
    assert callbacks.undelivered == []
    assert "on_lost is called after all" in caplog.records[-1].getMessage()


def test_later_forgotten_callback_is_seen_too(soon_late):
    callbacks = Callbacks(lambda call: None)
    for number in range(3):
        callbacks.call("on_lost", print, number)
        eventually(lambda: len(callbacks.undelivered) == number + 1)  # noqa: B023


def test_only_the_latest_forgotten_ones_are_kept(soon_late):
    calls = []
    callbacks = Callbacks(calls.append)
    for number in range(150):
        callbacks.call("on_event", print, number)
    eventually(lambda: callbacks.undelivered and callbacks.undelivered[-1].arguments == (149,))
    assert [one.arguments for one in callbacks.undelivered] == [(n,) for n in range(50, 150)]
    calls[0]()
    calls[60]()
    assert len(callbacks.undelivered) == 99


def test_nothing_waits_for_a_closed_workstation():
    before = {one.name for one in threading.enumerate()}
    callbacks = Callbacks(lambda call: None)
    callbacks.call("on_lost", print)
    [timer] = [one for one in threading.enumerate() if one.name not in before]
    callbacks.close()
    eventually(lambda: not timer.is_alive())


def test_failing_callback_is_named(caplog):
    def fail():
        raise ValueError("of the program")

    callbacks = Callbacks(lambda call: call())
    assert callbacks.call("on_refused", fail)
    assert callbacks.undelivered == []
    assert "the callback on_refused failed" in caplog.text


# -- the choice of a binding --


@pytest.fixture
def bindings(monkeypatch):
    """Pretend that only these bindings are imported, with an application or without."""
    for name in [one for one in sys.modules if one.endswith(".QtCore")]:
        monkeypatch.delitem(sys.modules, name)

    def pretend(**has_application):
        for name, there in has_application.items():
            core = ModuleType(f"{name}.QtCore")
            application = SimpleNamespace(thread=lambda: None) if there else None
            core.invoked = []
            core.QObject = type("QObject", (), {"moveToThread": lambda self, thread: None})
            core.QCoreApplication = SimpleNamespace(
                instance=lambda found=application: found, closingDown=lambda: False
            )
            core.Qt = SimpleNamespace(ConnectionType=SimpleNamespace(QueuedConnection=2))
            core.QMetaObject = SimpleNamespace(
                invokeMethod=lambda gate, slot, how, core=core: core.invoked.append((gate, slot))
            )
            decorator = "pyqtSlot" if name.startswith("PyQt") else "Slot"
            setattr(core, decorator, lambda: lambda function: function)
            monkeypatch.setitem(sys.modules, core.__name__, core)

    return pretend


@pytest.mark.parametrize("name", ["PySide6", "PySide2", "PyQt6", "PyQt5"])
def test_the_binding_with_the_application_is_used(bindings, name):
    bindings(PySide6=False, PySide2=False, PyQt6=False, PyQt5=False)
    bindings(**{name: True})
    called = []
    dispatch = qt_dispatch()
    dispatch(lambda: called.append(1))
    dispatch(lambda: called.append(2))
    for gate, slot in sys.modules[f"{name}.QtCore"].invoked:
        getattr(gate, slot)()
    assert called == [1, 2]


def test_there_must_be_a_binding_and_an_application(bindings):
    with pytest.raises(RuntimeError, match="No Qt binding is imported"):
        qt_dispatch()
    bindings(PySide6=False)
    with pytest.raises(RuntimeError, match="make the QApplication first"):
        qt_dispatch()


# -- Tk --


class Root:
    """A window whose main loop a test turns."""

    def __init__(self):
        self.planned = []
        self.at_end = None

    def bind(self, event, function, add):
        self.at_end = function

    def after(self, milliseconds, function):
        self.planned.append(function)

    def turn(self):
        planned, self.planned = self.planned, []
        for function in planned:
            function()


def test_a_dialog_in_a_callback_stops_no_other_callback():
    root, called = Root(), []
    dispatch = tk_dispatch(root)

    def show_dialog():
        dispatch(lambda: called.append("meanwhile"))
        root.turn()
        called.append("closed")

    dispatch(show_dialog)
    root.turn()
    assert called == ["meanwhile", "closed"]
    dispatch(lambda: called.append("later"))
    root.turn()
    assert called[2:] == ["later"]
    assert len(root.planned) == 1


def test_nothing_is_looked_for_once_the_window_is_gone():
    root = Root()
    dispatch = tk_dispatch(root)
    root.at_end(SimpleNamespace(widget=root))
    root.turn()
    assert root.planned == []
    with pytest.raises(RuntimeError, match="closed"):
        dispatch(print)

#!/usr/bin/env bash
# PySide6 6.12.0 on Python 3.9 to 3.11: each `Signal.emit` takes a reference from `True`.
#
# One would guess: `emit` returns True, and changes no reference count but those of what it passes on. The wheel is built
# for the stable ABI and installs on Python 3.9 and newer.
# What is so: `emit` returns `True` without a reference of its own, as is right where `True` is immortal, from Python
# 3.12 on. Before, the caller gives back what it never got. With 6.11.0 it does not happen, nor with
# `QMetaObject.invokeMethod` of 6.12.0.
#
# Seen: 6.11.0 emit 0, 6.12.0 emit -20, 6.12.0 invokeMethod 0
#
# Needs Python 3.9 to 3.11 as python3 (PYTHON names another one), and pip. Exits with 1 if it behaves otherwise.
set -euo pipefail

PLACE=$(mktemp -d)
trap 'rm -rf "$PLACE"' EXIT

cat >"$PLACE/count.py" <<'PY'
import sys

from PySide6 import QtCore

assert sys.version_info < (3, 12), "True is immortal here"
TIMES = 20
core = QtCore.QCoreApplication([])


class Gate(QtCore.QObject):
    call = QtCore.Signal()

    @QtCore.Slot()
    def run(self):
        pass


gate = Gate()
queued = QtCore.Qt.ConnectionType.QueuedConnection
gate.call.connect(gate.run, queued)


def emit():
    gate.call.emit()


def invoke():
    QtCore.QMetaObject.invokeMethod(gate, "run", queued)


def taken(function):
    function()
    before = sys.getrefcount(True)
    for _ in range(TIMES):
        function()
    return sys.getrefcount(True) - before


print(taken({"emit": emit, "invokeMethod": invoke}[sys.argv[1]]))
PY

# Prints by how much 20 calls changed the reference count of True: install VERSION, then count VERSION WHAT.
install() {
  "${PYTHON:-python3}" -m venv "$PLACE/$1"
  "$PLACE/$1/bin/python" -m pip install -qq --disable-pip-version-check "PySide6-Essentials==$1" 2>/dev/null
}

count() {
  QT_QPA_PLATFORM=offscreen "$PLACE/$1/bin/python" "$PLACE/count.py" "$2"
}

install 6.11.0
install 6.12.0
before=$(count 6.11.0 emit)
emit=$(count 6.12.0 emit)
invoke=$(count 6.12.0 invokeMethod)
echo "6.11.0 emit $before, 6.12.0 emit $emit, 6.12.0 invokeMethod $invoke"
[[ $before == 0 && $emit == -20 && $invoke == 0 ]]

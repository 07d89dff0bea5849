#!/usr/bin/env bash
# PySide6 6.12.0: the first use of a nested name such as `Qt.ConnectionType` fails in all threads but one, if several
# look it up at once.
#
# One would guess: an import makes all names of a module, as in PyQt6, so reading `QtCore.Qt.ConnectionType` is safe in
# any thread.
# What is so: PySide6 makes classes and their enumerations when they are first used. A thread that looks while another
# one is making them gets `AttributeError: type object 'PySide6.QtCore.Qt' has no attribute 'ConnectionType'`. A moment
# later the same line works. So what threads use has to be looked up once before, in one thread.
#
# Seen: 6.12.0 fails in 9 of 10 runs; 6.11.0 and 6.8.3 in 10 of 10
#
# Needs python3 (PYTHON names another one), and pip. Exits with 1 if no run fails.
set -euo pipefail

PLACE=$(mktemp -d)
trap 'rm -rf "$PLACE"' EXIT

cat >"$PLACE/look.py" <<'PY'
import threading

from PySide6 import QtCore

THREADS = 4
failed = []
together = threading.Barrier(THREADS)


def look():
    together.wait()
    try:
        QtCore.Qt.ConnectionType
    except AttributeError as error:
        failed.append(error)


threads = [threading.Thread(target=look) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
# Now it is there, for every thread.
QtCore.Qt.ConnectionType
print("failed" if failed else "worked")
PY

"${PYTHON:-python3}" -m venv "$PLACE/env"
"$PLACE/env/bin/python" -m pip install -qq --disable-pip-version-check "PySide6-Essentials==${PYSIDE6:-6.12.0}" 2>/dev/null

failed=0
for _ in {1..10}; do
  [[ $("$PLACE/env/bin/python" "$PLACE/look.py") == worked ]] || failed=$((failed + 1))
done
echo "${PYSIDE6:-6.12.0} fails in $failed of 10 runs"
[[ $failed != 0 ]]

#!/usr/bin/env bash
# FreeCAD 0.20.2 (Debian 12): no other Python thread runs while a document is recomputed.
#
# One would guess: a recompute computes in C++ for seconds or minutes, so it releases Python's interpreter lock, as NumPy
# or hashlib do, and a thread that keeps a connection alive goes on.
# What is so: the lock is held from the start of a recompute to its end, also of features that no Python code has part
# in. A thread that ticks every 50 ms ticks once or twice in seconds. Whatever must go on belongs in another process.
#
# Seen: recompute of 2.2 s: 1 ticks of 43; sleep of 2.0 s: 39 ticks of 40
#
# Needs root for apt-get, unless freecad is installed. Exits with 1 if it behaves otherwise.
set -euo pipefail

if ! command -v freecadcmd >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends 'freecad=0.20.2*' >/dev/null
fi

PLACE=$(mktemp -d)
trap 'rm -rf "$PLACE"' EXIT

cat >"$PLACE/ticks.py" <<'PY'
import threading
import time

import FreeCAD
import Part

STEP = 0.05
ticks = []


def tick():
    while True:
        ticks.append(1)
        time.sleep(STEP)


def measure(name, call):
    ticks.clear()
    begun = time.monotonic()
    call()
    took = time.monotonic() - begun
    print(f"SAID {name} of {took:.1f} s: {len(ticks)} ticks of {took / STEP:.0f}", flush=True)
    return len(ticks) * STEP / took


document = FreeCAD.newDocument()
balls = []
for number in range(24):
    ball = document.addObject("Part::Sphere", "Ball")
    ball.Radius = 5
    ball.Placement.Base = FreeCAD.Vector(number * 3.1 % 27, number * 1.7 % 23, number * 2.3 % 19)
    balls.append(ball)
document.addObject("Part::MultiFuse", "Fuse").Shapes = balls
threading.Thread(target=tick, daemon=True).start()
held = measure("recompute", document.recompute)
free = measure("sleep", lambda: time.sleep(2))
print("SAID as described" if held < 0.2 < free else "SAID otherwise", flush=True)
PY

HOME=$PLACE freecadcmd "$PLACE/ticks.py" </dev/null >"$PLACE/output" 2>&1 || true
sed -n 's/.*SAID //p' "$PLACE/output"
grep -q 'SAID as described' "$PLACE/output"

#!/usr/bin/env bash
# FreeCAD 0.20.2 (Debian 12): a part that is recomputed with its assembly has `Recomputing` False meanwhile.
#
# One would guess: an observer tells a user's change from a recompute's by `object.Document.Recomputing`.
# What is so: `assembly.recompute()` recomputes the objects of linked documents too, and only the assembly's document says
# so; the part's says False, for the same change for which it says True when it is recomputed by itself. So ask all open
# documents.
#
# Seen: part.recompute(): part True, assembly False; assembly.recompute(): part False, assembly True
#
# Needs root for apt-get, unless freecad is installed. Exits with 1 if it behaves otherwise.
set -euo pipefail

if ! command -v freecadcmd >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends 'freecad=0.20.2*' >/dev/null
fi

PLACE=$(mktemp -d)
trap 'rm -rf "$PLACE"' EXIT

cat >"$PLACE/recompute.py" <<'PY'
import os
import sys

import FreeCAD

place = os.environ["PLACE"]
seen = []


class Observer:
    def slotBeforeChangeObject(self, obj, prop):
        if obj.Document.Name == "part" and prop == "Shape":
            seen.append((part.Recomputing, assembly.Recomputing))


part = FreeCAD.newDocument("part")
box = part.addObject("Part::Box", "Box")
part.recompute()
part.saveAs(os.path.join(place, "part.FCStd"))
assembly = FreeCAD.newDocument("assembly")
assembly.saveAs(os.path.join(place, "assembly.FCStd"))
assembly.addObject("App::Link", "Link").LinkedObject = box
assembly.recompute()
observer = Observer()
FreeCAD.addDocumentObserver(observer)
found = []
for document in (part, assembly):
    seen.clear()
    box.touch()
    document.recompute()
    found.append(seen[0] if seen else None)
print("SAID " + "; ".join(
    f"{name}.recompute(): part {one[0]}, assembly {one[1]}" if one else f"{name}.recompute(): nothing"
    for name, one in zip(("part", "assembly"), found)
), flush=True)
print("SAID as described" if found == [(True, False), (False, True)] else "SAID otherwise", flush=True)
PY

HOME=$PLACE PLACE=$PLACE freecadcmd "$PLACE/recompute.py" </dev/null >"$PLACE/output" 2>&1 || true
sed -n 's/.*SAID //p' "$PLACE/output"
grep -q 'SAID as described' "$PLACE/output"

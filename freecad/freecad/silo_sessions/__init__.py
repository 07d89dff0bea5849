"""Silo Sessions in FreeCAD: entering an edit acquires the lock of what is edited.

The logic knows no FreeCAD: `edits`, `waits`, `overview`, `connection`, `worker`, and, by the names of FreeCAD's
properties only, `locks`, `cone`, `parts`. Everything else runs in FreeCAD's GUI.
"""

import sys
from pathlib import Path

if sys.version_info < (3, 9):  # noqa: UP036  (FreeCAD 0.20 came with Python 3.8 too)
    raise ImportError("Silo Sessions needs a FreeCAD with Python 3.9 or newer")

# The client and its packages, which `make freecad-addon` puts there. Last, so that other add-ons find what FreeCAD or
# the system brings along as before.
_vendor = Path(__file__).with_name("vendor")
if _vendor.is_dir() and str(_vendor) not in sys.path:
    sys.path.append(str(_vendor))

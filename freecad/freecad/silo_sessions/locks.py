"""Which lock an object is edited by: the level, and the object that is locked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .cone import BODY, JOINTS

SKETCH = "Sketcher::SketchObject"
ASSEMBLY = "Assembly::AssemblyObject"
PART = "App::Part"
LINKS = ("App::Link", "App::LinkElement", "App::LinkGroup")


def lock_of(obj: Any) -> tuple[str, Any]:
    """Return the level and the object that is locked where an object is edited.

    A sketch is locked by itself, a feature with its whole Body, what lies in an assembly (joints, links) with that
    assembly. Anything else (a spreadsheet, a box) is locked by itself.

    Args:
        obj: the object.
    """
    kind = obj.TypeId
    if obj.isDerivedFrom(SKETCH):
        return "sketch", obj
    if kind == BODY:
        return "partdesign", obj
    if kind in (ASSEMBLY, PART):
        return "assembly", obj
    for container in containers(obj):
        if container.TypeId == BODY:
            return "partdesign", container
        if container.TypeId == ASSEMBLY or (container.TypeId == PART and kind in LINKS):
            return "assembly", container
        if container.TypeId == PART:
            break
    return ("assembly" if kind in LINKS else "partdesign"), obj


def containers(obj: Any) -> Iterator[Any]:
    """Yield the containers of an object, the nearest first."""
    seen = {obj.Name}
    while True:
        groups = (one for one in obj.InList if _contains(one, obj) and one.Name not in seen)
        found = next(groups, None)
        if found is None:
            return
        seen.add(found.Name)
        yield found
        obj = found


def _contains(parent: Any, obj: Any) -> bool:
    return (
        parent.TypeId in (BODY, ASSEMBLY, PART, JOINTS, "App::DocumentObjectGroup")
        and parent.Document.Name == obj.Document.Name
        and obj.Name in {one.Name for one in parent.Group}
    )

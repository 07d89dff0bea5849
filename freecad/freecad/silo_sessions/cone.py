"""What a change of an object can reach: by the document's own graph, without containers that only group.

FreeCAD's `InListRecursive` goes through groups: a folder, a part or a Body "depends" on everything in it, so nearly
all edits of a document would meet. Here a container counts only where it uses the object: a Body its tip, any container
an object that its expressions name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# The server takes so many node keys of one cone.
LIMIT = 10_000

BODY = "PartDesign::Body"
GROUP = "App::GroupExtension"
# The joints in it move the assembly that contains it.
JOINTS = "Assembly::JointGroup"


def cone_of(locked: Any) -> tuple[str, ...]:
    """Return the names of the objects of the same document that a change of an object can reach, it included.

    The lock of a Body is that of all its features.

    Args:
        locked: the object that is locked.
    """
    begin = [locked]
    if locked.TypeId == BODY:
        begin += locked.Group
    return tuple(sorted(reached(begin))[:LIMIT])


def reached(begin: Iterable[Any]) -> set[str]:
    """Return the names of objects, and of all that depend on them."""
    waiting = list(begin)
    found = {one.Name for one in waiting}
    while waiting:
        one = waiting.pop()
        for parent in one.InList:
            if parent.Name in found or parent.Document.Name != one.Document.Name:
                # Objects of other documents belong to other parts.
                continue
            if not only_groups(parent, one):
                found.add(parent.Name)
                waiting.append(parent)
    return found


def only_groups(parent: Any, child: Any) -> bool:
    """Whether an object contains another one without using its shape or values."""
    if parent.TypeId == "App::Origin":
        return True
    if not parent.hasExtension(GROUP) or JOINTS in (parent.TypeId, child.TypeId):
        return False
    if parent.TypeId == BODY and parent.Tip is not None and parent.Tip.Name == child.Name:
        return False
    if child.Name not in {one.Name for one in _members(parent)}:
        return False
    return not any(_names(child, text) for _, text in parent.ExpressionEngine)


def _members(parent: Any) -> list[Any]:
    origin = getattr(parent, "Origin", None)
    return [*parent.Group, *([origin] if origin is not None else [])]


def _names(child: Any, expression: str) -> bool:
    return child.Name in expression or child.Label in expression

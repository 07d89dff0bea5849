"""What is edited: an object of a part, as the server knows it and as FreeCAD does."""

from __future__ import annotations

from dataclasses import dataclass, field

from silo_client import Lock


@dataclass(frozen=True)
class Place:
    """An object that is to be edited. Two places are equal if their locks are.

    Args:
        lock: the part, the level and the object that is locked.
        document: FreeCAD's name of the document, which is unique among the open ones.
        entered: FreeCAD's name of the object that the user entered; the locked one may be its Body.
        label: the name that the user sees.
        cone: the names of the objects that a change can reach.
    """

    lock: Lock
    document: str = field(compare=False)
    entered: str = field(compare=False)
    label: str = field(compare=False)
    cone: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"{self.label} of {self.lock.part_number}"

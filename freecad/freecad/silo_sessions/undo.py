"""Whether a change is the last one that can be undone: only then undoing it undoes nothing else."""

from __future__ import annotations

from typing import Any


def before_change(document: Any) -> list[str] | None:
    """Return the entries of the undo list as they are without a change that is about to be made.

    Args:
        document: FreeCAD's, in which an object is about to change.

    Returns:
        the entries, the latest first; None where the change itself is an undo or redo.
    """
    if document.Transacting:
        return None
    names = list(document.UndoNames)
    # The transaction of this change may have begun with another object.
    return names[1:] if document.HasPendingTransaction else names


def is_last(document: Any, before: list[str] | None) -> bool:
    """Whether exactly one entry was added since `before_change`."""
    names = list(document.UndoNames)
    if before is None or not names:
        return False
    if len(names) == len(before) + 1:
        return names[1:] == before
    # A full list loses its oldest entry.
    return len(names) == len(before) and names != before and names[1:] == before[:-1]

"""What FreeCAD tells of edits and changes."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

import FreeCAD as App
import FreeCADGui as Gui

# Entering and leaving an edit, and looking, change these.
NO_CHANGES = frozenset({"Visibility"})
# The label of an object before it gets its first one.
NO_LABEL = "Unnamed"


class Target(Protocol):
    """Gets what happens. No method waits for the user."""

    def entered(self, obj: Any) -> bool:
        """An object is in edit; return whether it may stay."""

    def left(self) -> None:
        """The edit has ended."""

    def part_number(self, document: Any) -> str:
        """Return a document's part number, or ""; called for each change, so it has to be quick."""

    def changed_in_edit(self, obj: Any, prop: str, *, is_new: bool) -> None:
        """An object is about to change while something is in edit, or is about to be."""

    def changed_directly(self, obj: Any) -> None:
        """An object is about to change while nothing is in edit."""

    def saving(self, document: Any, file: str) -> None:
        """A document is about to be written to a file."""

    def saved(self, document: Any, file: str) -> None:
        """A document was written to a file."""

    def closed(self, document: Any) -> None:
        """A document is closed."""

    def documents_changed(self) -> None:
        """A document was opened, or has another name, file or part number."""


Slot = Callable[..., None]


def guarded(slot: Slot) -> Slot:
    """Show an error where the user sees it: FreeCAD only prints it to the terminal."""

    @wraps(slot)
    def call(*arguments: Any) -> None:
        try:
            slot(*arguments)
        except Exception:
            App.Console.PrintError(f"Silo Sessions: {traceback.format_exc()}\n")

    return call


def object_in_edit(view_provider: Any = None) -> Any:
    """Return the object that is in edit, which may be one of another document: its sketch in an assembly, say.

    Args:
        view_provider: the one in edit. It names what a link leads to, where `InEditInfo` names the link. Those of the
            assemblies of FreeCAD 1.0 have no `Object`.
    """
    obj = getattr(view_provider, "Object", None)
    if obj is not None:
        return obj
    document = Gui.editDocument()
    info = document.InEditInfo if document is not None else None
    if info is None:
        return None
    obj, sub, *_ = info
    # 1: the object itself, not its shape.
    return obj.getSubObject(sub, 1) if sub else obj


def by_itself(document: Any) -> bool:
    """Whether what changes in a document now is FreeCAD's doing: it reads or recomputes it.

    While another document is read, links to it are set again. A part that is recomputed with the assembly in which it
    was edited does not say so itself: only the assembly does.
    """
    return bool(
        App.isRestoring()
        or document.Restoring
        or document.Recomputing
        or any(one.Recomputing for one in App.listDocuments().values())
    )


class GuiObserver:
    """Only these two slots: those of changes hand out view providers that are not ready, which crashes FreeCAD."""

    def __init__(self, target: Target) -> None:
        self._target = target

    @guarded
    def slotInEdit(self, view_provider: Any) -> None:
        """An edit begins."""
        if not self._target.entered(object_in_edit(view_provider)):
            Gui.editDocument().resetEdit()

    @guarded
    def slotResetEdit(self, view_provider: Any) -> None:
        """An edit has ended, however."""
        self._target.left()


class AppObserver:
    """Changes, saves and ends of documents."""

    def __init__(self, target: Target) -> None:
        self._target = target
        # Not to be taken for changes of something that others know.
        self.new: set[tuple[str, str]] = set()

    @guarded
    def slotBeforeChangeObject(self, obj: Any, prop: str) -> None:
        """An object is about to change: by the user, an edit, an undo, a recompute, or while its file is read."""
        document = obj.Document
        if prop in NO_CHANGES or not self._target.part_number(document):
            return
        if by_itself(document):
            return
        if prop == "Label" and obj.Label == NO_LABEL:
            # It is just being made: `slotCreatedObject` follows.
            self.new.add((document.Name, obj.Name))
        self._changed(obj, prop)

    def _changed(self, obj: Any, prop: str) -> None:
        if Gui.editDocument() is not None:
            is_new = (obj.Document.Name, obj.Name) in self.new
            self._target.changed_in_edit(obj, prop, is_new=is_new)
        elif (obj.Document.Name, obj.Name) not in self.new:
            self._target.changed_directly(obj)

    @guarded
    def slotCreatedObject(self, obj: Any) -> None:
        """An object is new."""
        if not obj.Document.Restoring:
            self.new.add((obj.Document.Name, obj.Name))

    @guarded
    def slotDeletedObject(self, obj: Any) -> None:
        """An object is about to be deleted."""
        document = obj.Document
        if self._target.part_number(document) and not by_itself(document):
            self._changed(obj, "")

    @guarded
    def slotStartSaveDocument(self, document: Any, file: str) -> None:
        """A document is about to be written."""
        self._target.saving(document, file)

    @guarded
    def slotFinishSaveDocument(self, document: Any, file: str) -> None:
        """A document was written."""
        self._target.saved(document, file)

    @guarded
    def slotDeletedDocument(self, document: Any) -> None:
        """A document is closed."""
        self._target.closed(document)

    @guarded
    def slotCreatedDocument(self, document: Any) -> None:
        """A document is new, or is about to be read from its file."""
        self._target.documents_changed()

    @guarded
    def slotChangedDocument(self, document: Any, prop: str) -> None:
        """A property of the document itself has changed."""
        if prop in ("Meta", "FileName"):
            self._target.documents_changed()

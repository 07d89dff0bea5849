"""Whether the file of an open document was written by others since it was read. Knows no FreeCAD."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# When a file was last written, and its size.
Stamp = tuple[int, int]


class Files:
    """The files of the open documents, as this FreeCAD has read or written them last."""

    def __init__(self) -> None:
        self._known: dict[str, Stamp | None] = {}

    def opened(self, document: Any) -> None:
        """Note that a document is open; it may be known already."""
        if document.Name not in self._known:
            self.in_step(document)

    def stamp(self, document: Any) -> Stamp | None:
        """Return how the document's file is now, for `read`."""
        return _stamp(document.FileName)

    def in_step(self, document: Any) -> None:
        """Note that a document is as its file is: it was saved."""
        self._known[document.Name] = _stamp(document.FileName)

    def read(self, document: Any, before: Stamp | None) -> None:
        """Note that a document was read again, from a file that was so before: it may have been written meanwhile."""
        self._known[document.Name] = before

    def closed(self, document: Any) -> None:
        """Note that a document is closed."""
        self._known.pop(document.Name, None)

    def written_by_others(self, document: Any) -> bool:
        """Whether others have written the file since; not where there is no file."""
        known, now = self._known.get(document.Name), _stamp(document.FileName)
        return known is not None and now is not None and known != now


def _stamp(file: str) -> Stamp | None:
    try:
        status = Path(file).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size

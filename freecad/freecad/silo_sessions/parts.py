"""Part numbers of documents: kept in the file itself, with the name of the file for which the number was given.

FreeCAD keeps a document's `Meta` when the file is saved under another name or copied. A copy of a part is another part,
so the number counts only in the file for which it was given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

PART_NUMBER = "silo.part_number"
FILE = "silo.file"


def part_number_of(document: Any) -> str:
    """Return a document's part number; "" where it has none, or where it is a copy of the file that has it."""
    number, file = _kept(document)
    return number if file in ("", file_name(document.FileName)) else ""


def copied_from(document: Any) -> tuple[str, str]:
    """Return the part number and the file that a copy was made of; twice "" where the document is no copy."""
    number, file = _kept(document)
    return ("", "") if not number or part_number_of(document) else (number, file)


def set_part_number(document: Any, number: str) -> None:
    """Give a document a part number, which stands in the file from its next save on; "" takes it away."""
    meta = dict(document.Meta)
    meta.pop(PART_NUMBER, None)
    meta.pop(FILE, None)
    if number:
        meta[PART_NUMBER] = number
        meta[FILE] = file_name(document.FileName)
    document.Meta = meta


def about_to_save(document: Any, file: str) -> None:
    """Note the name of a document that got its part number before it had one."""
    number, kept = _kept(document)
    if number and not kept:
        document.Meta = {**document.Meta, FILE: file_name(file)}


def file_name(path: str) -> str:
    """Return the name of a file without its folder: a part may be kept in another folder on each machine."""
    return Path(path.replace("\\", "/")).name


def _kept(document: Any) -> tuple[str, str]:
    meta = document.Meta
    return str(meta.get(PART_NUMBER, "")).strip(), str(meta.get(FILE, ""))

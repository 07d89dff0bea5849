"""When two part numbers are equal, by the server's rule."""

from __future__ import annotations

import re
import unicodedata

_BLANKS = re.compile(r"\s+")


def folded(text: str) -> str:
    """Return a text in Unicode's NFKC_Casefold, with each run of blanks as one space."""
    text = unicodedata.normalize("NFD", text)
    while True:
        further = _BLANKS.sub(" ", unicodedata.normalize("NFKC", text.casefold()))
        if further == text:
            return text
        text = further


def name_key(part_number: str) -> str:
    """Return the key of a part number, which is the same for all its spellings. The server finds the item by it."""
    return folded(part_number).strip()

"""Text of others as a terminal or a log may show it: one line, in one direction, with nothing that cannot be seen.

A message, a name or an answer may hold what moves the cursor, ends a line, turns the direction of what follows, or
takes no room. Shown as it is, it could pose as something that this program says. So it is shown as an escape: \\u202e.
"""

from __future__ import annotations

import logging
import re
import traceback
from typing import Any

# Controls; the separators of lines and paragraphs; all format characters (Unicode's category Cf), directions among
# them; what else is by default not shown (Default_Ignorable_Code_Point); and lone surrogates. As in the texts that a
# server of today refuses; an older one, or who poses as one, may send them.
HIDDEN = (
    "\u0000-\u001f\u007f-\u009f"
    "\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\u0600-\u0605\u06dd\u070f\u0890-\u0891\u08e2\u2028\u2029\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f"
    "\ud800-\udfff"
)
_HIDDEN = re.compile(f"[{HIDDEN}]")


def visible(text: object) -> str:
    """Return a text in which everything can be seen: a line end is \\n, a turn of the direction \\u202e."""
    return _HIDDEN.sub(lambda found: ascii(found[0])[1:-1], str(text))


def is_visible(text: str) -> bool:
    """Whether that is the text itself."""
    return _HIDDEN.search(text) is None


def visible_lines(text: str) -> str:
    """Return a text whose own line ends stay; what follows the first of them is indented, and so is nothing else's."""
    first, *rest = text.split("\n")
    return "\n".join([visible(first), *(f"    {visible(line)}" for line in rest)])


def visible_json(text: str) -> str:
    """Return JSON in which everything can be seen but its own line ends: escapes are JSON as well.

    What is hidden can only be in its strings, where it means the same.
    """
    return _HIDDEN.sub(lambda found: found[0] if found[0] == "\n" else _in_json(found[0]), text)


def _in_json(character: str) -> str:
    # Above U+FFFF it takes two.
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


class VisibleRecords(logging.Filter):
    """Has what is logged be visible, whoever formats it: names and messages of others among it, and their errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        """ConflictChange the record: its message has no arguments any more, its traceback is text."""
        record.msg, record.args = visible(record.getMessage()), ()
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = visible_lines(f"\n{_told(record.exc_info)}")[1:]
        return True


def _told(exc_info: Any) -> str:
    return "".join(traceback.format_exception(*exc_info)).rstrip("\n")


def get_logger() -> logging.Logger:
    """Return the logger of this package, whose records are visible."""
    logger = logging.getLogger("silo_client")
    if not any(isinstance(one, VisibleRecords) for one in logger.filters):
        logger.addFilter(VisibleRecords())
    return logger

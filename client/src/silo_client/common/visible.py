"""Text of other people as a terminal or a log may show it: one line, in one direction, without hidden characters.

A message, a name or an answer may contain characters that move the cursor, end a line, turn the direction of text, or
take no room. Shown unchanged, it could pose as a message of this program. So each is shown as an escape: \\u202e.
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
    """Return a text with escapes for hidden characters: a line end is \\n, a turn of the direction \\u202e."""
    return _HIDDEN.sub(lambda found: ascii(found[0])[1:-1], str(text))


def is_visible(text: str) -> bool:
    return _HIDDEN.search(text) is None


def visible_lines(text: str) -> str:
    """Return a visible text whose line ends stay; all lines but the first are indented, so none poses as a message."""
    first, *rest = text.split("\n")
    return "\n".join([visible(first), *(f"    {visible(line)}" for line in rest)])


def visible_json(text: str) -> str:
    """Return JSON with escapes for all hidden characters but its own line ends.

    Hidden characters can only be in its strings, where an escape means the same.
    """
    return _HIDDEN.sub(lambda found: found[0] if found[0] == "\n" else _in_json(found[0]), text)


def _in_json(character: str) -> str:
    # Characters above U+FFFF take two escapes.
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


class VisibleRecords(logging.Filter):
    """Makes log records visible, whatever formats them."""

    def filter(self, record: logging.LogRecord) -> bool:
        """ConflictChange the record: its message has no arguments any more, its traceback is text."""
        record.msg, record.args = visible(record.getMessage()), ()
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = visible_lines(f"\n{_traceback_text(record.exc_info)}")[1:]
        return True


def _traceback_text(exc_info: Any) -> str:
    return "".join(traceback.format_exception(*exc_info)).rstrip("\n")


def get_logger() -> logging.Logger:
    """Return the logger of this package, whose records are visible."""
    logger = logging.getLogger("silo_client")
    if not any(isinstance(one, VisibleRecords) for one in logger.filters):
        logger.addFilter(VisibleRecords())
    return logger

"""Which texts are accepted from outside, which are one and the same name, and how people and durations are said."""

import re
import unicodedata
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PART_NUMBER_MAX = 200
MACHINE_MAX = 200
# What a holder says of a session, in characters.
NOTE_MAX = 500
# Why somebody wants a session, or ends one by force.
REASON_MAX = 2000
# A ligature may stand for many letters; the database has to index all of them.
PART_NUMBER_KEY_MAX = 600

# Unicode's Default_Ignorable_Code_Point, which the standard library does not know.
_DEFAULT_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# The other format characters (category Cf), and the separators of lines and paragraphs.
_FORMAT = (
    "\u0600-\u0605\u06dd\u070f\u0890-\u0891\u08e2\u2028\u2029\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f"
)
_CONTROLS = "\u0000-\u001f\u007f-\u009f"
# What Unicode promises never to make a character.
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(
    f"{chr(plane + 0xFFFE)}-{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)
# The inside of a character class of a regular expression, as JSON Schema and Python have it: what no text has. Lone
# surrogates are left to the UTF-8 of a request.
REFUSED = _CONTROLS + _DEFAULT_IGNORABLE + _FORMAT + _NONCHARACTERS

_FIRST_REFUSED = re.compile(f"[{REFUSED}\ud800-\udfff]")
_BLANKS = re.compile(r"\s+")


def text_fault(text: str) -> str | None:
    """Return why a text is refused, naming the first character that is at fault; or None.

    Control characters (Unicode category Cc, NUL among them) would break logs, terminals and the database; by
    characters that cannot be seen two texts could differ that look the same; lone surrogates are no characters at all.
    """
    found = _FIRST_REFUSED.search(text)
    if found is None:
        return None
    character = found[0]
    code = f"U+{ord(character):04X}"
    category = unicodedata.category(character)
    if category == "Cc":
        return "control characters are not allowed"
    if category == "Cs":
        return "lone surrogates are not allowed"
    name = unicodedata.name(character, "")
    return f"{code} {name} cannot be seen" if name else f"{code} is no character that can be seen"


def part_number_fault(text: str) -> str | None:
    """Return why a part number is refused, or None. Blanks at its ends are not of it: see `trimmed`.

    "." and ".." cannot stand in a URL's path.
    """
    if fault := text_fault(text):
        return fault
    key = name_key(text)
    if not key:
        return "a part number must not be empty"
    if len(trimmed(text)) > PART_NUMBER_MAX:
        return f"a part number has at most {PART_NUMBER_MAX} characters"
    if len(key) > PART_NUMBER_KEY_MAX:
        return f"a part number has at most {PART_NUMBER_KEY_MAX} characters when its ligatures are written out"
    if key in {".", ".."}:
        return "a part number is not '.' or '..'"
    return None


def without_refused(text: str) -> str:
    """Return a text of before there was a rule without the characters that the rule refuses."""
    return _FIRST_REFUSED.sub("", text)


def trimmed(text: str) -> str:
    """Return a name without the blanks at its ends."""
    return text.strip()


def name_key(name: str) -> str:
    """Return by what a name is known: two spellings of one name, of a part or of a user, have the same key.

    It is Unicode's NFKC_Casefold with each run of blanks as one space, and none at the ends.
    """
    return folded(name).strip()


def folded(text: str) -> str:
    """Return the NFKC_Casefold of a text with each run of blanks as one space; the ends stay as they are.

    Characters that NFKC_Casefold leaves out are refused in every text, so they are not looked for.
    """
    text = unicodedata.normalize("NFD", text)
    while (further := _fold_once(text)) != text:
        text = further
    return text


def _fold_once(text: str) -> str:
    return _BLANKS.sub(" ", unicodedata.normalize("NFKC", text.casefold()))


def name_of(user: "User") -> str:
    """Return what a person is called: the full name, or without one the account's."""
    return name_by(user.first_name, user.last_name, user.get_username())


def name_by(first_name: str, last_name: str, username: str) -> str:
    """Return what a person with these names is called; see `name_of`."""
    return f"{first_name} {last_name}".strip() or username


def person(user: str, user_name: str) -> str:
    """Return a person in a sentence: the full name, and the account's name where that is another one."""
    return user if user_name == user else f"{user_name} ({user})"


def person_of(user: "User") -> str:
    """Return a user in a sentence; see `person`."""
    return person(user.get_username(), name_of(user))


def duration(time: timedelta) -> str:
    """Return a time as a person says it, in at most two units; one below zero is said as zero."""
    seconds = max(0, int(time.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    if minutes:
        return f"{minutes} min {seconds % 60} s"
    return f"{seconds} s"


def unbroken(text: str) -> str:
    """Return a text that a browser keeps on one line: its blanks are no-break spaces."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")

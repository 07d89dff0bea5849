"""Which texts are accepted from outside, and how a person is named."""

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.auth.models import User

PART_NUMBER_MAX = 200
# What a holder says of a session, in characters.
NOTE_MAX = 500


def text_fault(text: str) -> str | None:
    """Return why a text is refused, or None.

    Control characters (Unicode category Cc, NUL among them) would break logs, terminals and the database; lone
    surrogates are no characters at all.
    """
    if text.isprintable():
        return None
    categories = {unicodedata.category(character) for character in text}
    if "Cc" in categories:
        return "control characters are not allowed"
    if "Cs" in categories:
        return "lone surrogates are not allowed"
    return None


def part_number_fault(text: str) -> str | None:
    """Return why a part number is refused, or None. "." and ".." cannot stand in a URL's path."""
    if not text.strip():
        return "a part number must not be empty"
    if len(text) > PART_NUMBER_MAX:
        return f"a part number has at most {PART_NUMBER_MAX} characters"
    if text in {".", ".."} or text != text.strip():
        return "a part number is not '.' or '..', and has no space at its ends"
    return text_fault(text)


def name_of(user: "User") -> str:
    """Return what a person is called: the full name, or without one the account's."""
    return user.get_full_name() or user.get_username()


def person(user: str, user_name: str) -> str:
    """Return a person in a sentence: the full name, and the account's name where that is another one."""
    return user if user_name == user else f"{user_name} ({user})"

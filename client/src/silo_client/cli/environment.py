"""Odd environments of shells, cron jobs and services: closed streams, words that are not text, invalid widths."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping, Sequence

from silo_client.cli.exit_codes import CommandError, ExitCode

# Variables with the width of a terminal; rich and typer read them as numbers.
WIDTHS = ("COLUMNS", "TERMINAL_WIDTH")


def open_what_is_closed() -> None:
    """Open closed standard streams (`>&-`) on the null device. The next opened file would take their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


def drop_odd_widths(environment: MutableMapping[str, str]) -> None:
    """Delete widths of the terminal that are 0 or no number."""
    for name in WIDTHS:
        if not environment.get(name, "1").isdecimal() or environment.get(name) == "0":
            del environment[name]


def readable(words: Sequence[str]) -> list[str]:
    """Return the words of a command line as the text that was typed, up to `--`; the rest is unchanged.

    In the C locale, Python takes letters outside ASCII for bytes.

    Raises:
        CommandError: a word is not text in UTF-8.
    """
    end = words.index("--") if "--" in words else len(words)
    return [*map(_readable, words[:end]), *words[end:]]


def encodable(word: str) -> str | bytes:
    """Return a word as an argument of a command, whatever the locale."""
    try:
        os.fsencode(word)
    except UnicodeEncodeError:
        return word.encode()
    return word


def _readable(word: str) -> str:
    try:
        word.encode()
    except UnicodeEncodeError:
        pass
    else:
        return word
    try:
        return os.fsencode(word).decode()
    except UnicodeError as error:
        raise CommandError(f"{word!r} is not text in UTF-8.", code=ExitCode.USAGE) from error

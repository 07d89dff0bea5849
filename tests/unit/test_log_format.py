"""One line a record, whatever is in it."""

import logging
import re
import sys

import pytest

from silo.log_format import FieldsFormatter

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO silo\.test ")
FORGERY = "\n2026-01-31T12:00:00.000Z INFO silo.test forged"


def formatted(message="done", *args, exc_info=None, **extra):
    record = logging.makeLogRecord(
        {
            "name": "silo.test",
            "levelname": "INFO",
            "msg": message,
            "args": args,
            "exc_info": exc_info,
        }
        | extra
    )
    return FieldsFormatter().format(record)


def after_time(text):
    assert LINE.match(text)
    return text.split(" ", 3)[3]


def test_a_record_is_time_level_logger_and_message():
    assert after_time(formatted("swept %d", 3)) == "swept 3"


def test_the_time_is_utc_with_milliseconds():
    text = formatted(created=1769860800.25, msecs=250.0)
    assert text.startswith("2026-01-31T12:00:00.250Z ")


def test_extra_becomes_fields():
    assert after_time(formatted(user="ada", count=2)) == "done user=ada count=2"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ada", "ada"),
        ("Größe", "Größe"),
        (None, "None"),
        (1.5, "1.5"),
        ("", '""'),
        ("DIN 912", '"DIN 912"'),
        (["A1", 'B"\n'], r'"A1, B\"\n"'),
        ("a=b", '"a=b"'),
        ('say "x"', r'"say \"x\""'),
        ("back\\slash", r'"back\\slash"'),
        ("a\nb", r'"a\nb"'),
        ("\x1b[31m", r'"\u001b[31m"'),
        ("\u2028", r'"\u2028"'),
        ("\ud800", r'"\ud800"'),
        ("ada\u202e", r'"ada\u202e"'),
        ("ada\u200b", r'"ada\u200b"'),
        ("ada\ufe0f", r'"ada\ufe0f"'),
        ("\u3164", r'"\u3164"'),
    ],
)
def test_a_value_cannot_pose_as_another_field_or_line(value, shown):
    assert after_time(formatted(field=value)) == f"done field={shown}"


@pytest.mark.parametrize(
    "hidden",
    [
        "\n",
        "\r",
        "\x1b",
        "\x00",
        "\u2028",
        "\ud800",
        "\u202e",
        "\u2066",
        "\u200b",
        "\ufe0f",
        "\u3164",
    ],
)
def test_a_message_stays_one_line_of_characters_that_are_seen(hidden):
    assert after_time(formatted("got %s", f"a{hidden}b")) == f"got a{ascii(hidden)[1:-1]}b"


def test_a_message_keeps_its_quotes_and_letters():
    assert after_time(formatted('said "Ω"')) == 'said "Ω"'


def failure(message):
    try:
        raise ValueError(message)
    except ValueError:
        return sys.exc_info()


def test_a_traceback_is_indented_below_its_record():
    first, *rest = formatted("failed", exc_info=failure("broken")).splitlines()
    assert after_time(first) == "failed"
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-1] == "    ValueError: broken"
    assert all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize("ending", ["\n", "\r", "\x0b", "\x85", "\u2028"])
def test_the_message_of_an_exception_cannot_forge_a_record(ending):
    text = formatted("failed", exc_info=failure("x" + FORGERY.replace("\n", ending)))
    assert [line for line in text.splitlines() if LINE.match(line)] == text.splitlines()[:1]


def test_neither_can_a_stack():
    text = formatted("where", stack_info="Stack:\n  here" + FORGERY)
    assert [line for line in text.splitlines() if LINE.match(line)] == text.splitlines()[:1]

"""Which texts are accepted from outside."""

import pytest

from sessions_app.text import PART_NUMBER_MAX, part_number_fault, text_fault

CONTROL = ["\0", "a\nb", "\r", "\t", "\x1b[31m", "\x7f", "\x85", "\x9b"]
SURROGATES = ["\ud800", "a\udfff", "\udcff"]


@pytest.mark.parametrize(
    "text", ["", " ", "Motor", "DIN 912/M5", "Größe Ω 🛠", "\u200d", "\u2028", "\ufffd"]
)
def test_letters_of_any_script_are_fine(text):
    assert text_fault(text) is None


@pytest.mark.parametrize("text", CONTROL)
def test_control_characters_are_refused(text):
    assert text_fault(text) == "control characters are not allowed"


@pytest.mark.parametrize("text", SURROGATES)
def test_lone_surrogates_are_refused(text):
    assert text_fault(text) == "lone surrogates are not allowed"


@pytest.mark.parametrize(
    "text",
    [
        "A01-0001",
        "DIN 912/M5",
        "/",
        "A/",
        "//",
        "...",
        "a%2Fb",
        "100%",
        "A?b#c",
        "🛠",
        "a" * PART_NUMBER_MAX,
    ],
)
def test_part_numbers_may_hold_anything_printable(text):
    assert part_number_fault(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\u3000",
        " A",
        "A ",
        "A\n",
        ".",
        "..",
        "a" * (PART_NUMBER_MAX + 1),
        *CONTROL,
        *SURROGATES,
    ],
)
def test_other_part_numbers_are_refused(text):
    assert part_number_fault(text)

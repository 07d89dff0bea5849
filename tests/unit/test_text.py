"""Which texts are accepted from outside, and which part numbers are one."""

# ruff: noqa: RUF001

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.api import fields
from sessions_app.text import (
    PART_NUMBER_MAX,
    folded,
    name_key,
    part_number_fault,
    text_fault,
    without_refused,
)

CONTROL = ["\0", "a\nb", "\r", "\t", "\x1b[31m", "\x7f", "\x85", "\x9b"]
SURROGATES = ["\ud800", "a\udfff", "\udcff"]
UNSEEN = {
    "\u00ad": "U+00AD SOFT HYPHEN cannot be seen",
    "a\u034fb": "U+034F COMBINING GRAPHEME JOINER cannot be seen",
    "\u115f": "U+115F HANGUL CHOSEONG FILLER cannot be seen",
    "\u17b5": "U+17B5 KHMER VOWEL INHERENT AA cannot be seen",
    "\u180e": "U+180E MONGOLIAN VOWEL SEPARATOR cannot be seen",
    "A\u200b-1": "U+200B ZERO WIDTH SPACE cannot be seen",
    "👩\u200d🔧": "U+200D ZERO WIDTH JOINER cannot be seen",
    "\u202e": "U+202E RIGHT-TO-LEFT OVERRIDE cannot be seen",
    "\u2028": "U+2028 LINE SEPARATOR cannot be seen",
    "\u2060": "U+2060 WORD JOINER cannot be seen",
    "\u2065": "U+2065 is no character that can be seen",
    "\u3164": "U+3164 HANGUL FILLER cannot be seen",
    "🛠\ufe0f": "U+FE0F VARIATION SELECTOR-16 cannot be seen",
    "\ufeffA": "U+FEFF ZERO WIDTH NO-BREAK SPACE cannot be seen",
    "\uffa0": "U+FFA0 HALFWIDTH HANGUL FILLER cannot be seen",
    "\uffff": "U+FFFF is no character that can be seen",
    "\U000e0041": "U+E0041 TAG LATIN CAPITAL LETTER A cannot be seen",
    "\U0010ffff": "U+10FFFF is no character that can be seen",
}


@pytest.mark.parametrize(
    "text", ["", " ", "Motor", "DIN 912/M5", "Größe Ω 🛠", "Größe", "A\u00a0B", "\ufffd", "\ue000"]
)
def test_letters_of_any_script_are_fine(text):
    assert text_fault(text) is None


@pytest.mark.parametrize("text", CONTROL)
def test_control_characters_are_refused(text):
    assert text_fault(text) == "control characters are not allowed"


@pytest.mark.parametrize("text", SURROGATES)
def test_lone_surrogates_are_refused(text):
    assert text_fault(text) == "lone surrogates are not allowed"


@pytest.mark.parametrize(("text", "fault"), UNSEEN.items())
def test_an_invisible_character_is_refused_by_its_name(text, fault):
    assert text_fault(text) == part_number_fault(text) == fault
    assert text_fault(without_refused(text)) is None


def test_every_format_character_is_refused():
    formats = {
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    }
    assert [text for text in formats if not text_fault(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "A01-0001",
        "DIN 912/M5",
        "/",
        "A/",
        "//",
        "...",
        "…",
        "a%2Fb",
        "100%",
        "A?b#c",
        "🛠",
        " A",
        "A\u3000",
        "a" * PART_NUMBER_MAX,
        "ß" * PART_NUMBER_MAX,
        "ﬃ" * PART_NUMBER_MAX,
    ],
)
def test_part_numbers_may_hold_anything_that_can_be_seen(text):
    assert part_number_fault(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\u3000",
        "A\n",
        ".",
        "..",
        " . ",
        "\u2024",
        "．．",
        "\u2025",
        "\ufe30",
        "\ufe52.",
        "a" * (PART_NUMBER_MAX + 1),
        "\ufdfa" * PART_NUMBER_MAX,
        *CONTROL,
        *SURROGATES,
        *UNSEEN,
    ],
)
def test_other_part_numbers_are_refused(text):
    assert part_number_fault(text)
    # In Python alone "$" also stands before a line end.
    described = fields.PartNumber.__metadata__[-1].expression.replace("$", r"\Z")
    fits = re.search(described, text) and len(text) <= PART_NUMBER_MAX
    assert not fits or text in SURROGATES or text[0] == "\ufdfa", "the description allows it"


SAME = [
    ("Part-1", "part-1", "PART-1", "ＰＡＲＴ－１"),
    ("Gehäuse-7", "Geha\u0308use-7", "GEHÄUSE-7"),
    ("Maß", "MASS", "MAẞ", "Maſs"),
    ("ﬁlter", "filter", "FILTER"),
    ("ΟΔΟΣ", "οδος", "οδοσ"),
    ("İ", "i\u0307"),
    ("A B", "A\u00a0B", "A  B", " A\u2009\u3000B ", "a\u202fb"),
    ("한글", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
    ("ﾈｼﾞ", "ネジ", "ネシ\u3099"),
    ("M5²", "m52"),
    ("Å", "\u212b", "A\u030a", "å"),
    ("a\u0323\u0307", "a\u0307\u0323", "ạ̇"),
    ("Ⅷ", "viii"),
    ("ᾳ", "αι", "ΑΙ", "\u0391\u0345"),
]
DIFFERENT = ["A-1", "A1", "A 1", "A_1", "A–1", "Ä-1", "А-1", "I", "ı", "A-01"]


@pytest.mark.parametrize("spellings", SAME)
def test_spellings_of_one_name_have_one_key(spellings):
    assert len({name_key(text) for text in spellings}) == 1


def test_names_that_differ_have_different_keys():
    assert len({name_key(text) for text in DIFFERENT}) == len(DIFFERENT)


@given(st.text())
def test_a_key_is_its_own_key_and_that_of_every_form(text):
    text = without_refused(text)
    key = name_key(text)
    assert name_key(key) == key
    assert folded(folded(text)) == folded(text)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert name_key(unicodedata.normalize(form, text)) == key
    assert name_key(text.casefold()) == key
    assert name_key(f" {text}\u00a0") == key
    assert text_fault(key) is None


def test_each_character_has_a_stable_key():
    for text in map(chr, range(sys.maxunicode + 1)):
        if text != unicodedata.normalize("NFKD", text.casefold()) and not text_fault(text):
            key = name_key(text)
            assert name_key(key) == key == name_key(text.casefold()), text
            assert text_fault(key) is None, text

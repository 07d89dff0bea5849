"""What a spreadsheet is given of a text."""

import csv

import pytest

from sessions_app.api.history_csv import COLUMNS, HISTORY
from sessions_app.csv_answer import cell
from sessions_app.models import EndedSession


@pytest.mark.parametrize("sign", "=+-@\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63")
@pytest.mark.parametrize(
    "before", ["", " ", "\t", "\r", "\n", "\u00a0", "\u3000", '"', "'", ' " ', "\ufeff", "\u200b"]
)
def test_a_possible_formula_gets_an_apostrophe(sign, before):
    text = f"{before}{sign}HYPERLINK(1)"
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("between", [";", "\t", "|", "\r\n"])
def test_also_behind_what_somebody_takes_for_a_delimiter(between):
    assert cell(f"a{between} =1") == f"a{between}' =1"


@pytest.mark.parametrize("text", ["", "A-1", "DIN 912/M5", "a=b", "x@y.example", "5 - 3", "'tis"])
def test_a_text_that_is_no_formula_stays(text):
    assert cell(text) == text


def test_no_delimiter_inside_of_a_cell_makes_two_of_it():
    record = EndedSession(part_number="A;1,2\t3|4", note='24" wide')
    [row] = csv.reader(HISTORY.lines([record]).splitlines())
    assert len(row) == len(COLUMNS)
    assert row[COLUMNS.index("part_number")] == record.part_number
    assert row[COLUMNS.index("note")] == record.note

"""`manage.py loaditems` and the shapes in which other programs export part lists. The parts are made up."""

from io import StringIO

import pytest
from django.core.management import call_command

from sessions_app.models import Item

pytestmark = pytest.mark.django_db


@pytest.fixture
def load(tmp_path):
    """Write a file and load it; return the items."""

    def run(text: str | bytes, *options: str) -> dict[str, tuple[str, str]]:
        path = tmp_path / "parts.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        call_command("loaditems", str(path), *options, stdout=StringIO(), stderr=StringIO())
        return {item.part_number: (item.description, item.item_type) for item in Item.objects.all()}

    return run


SOLIDWORKS = """\
ITEM NO.,PART NUMBER,Description,QTY.\r
1,B-A57,Blade shaft,1\r
2,B-02,"Bottom blade
Fixed",1\r
3,B-E16,"Blade extension, plastic",2\r
4,B-A57,Blade shaft,4\r
"""


def test_solidworks(load):
    assert load(SOLIDWORKS) == {
        "B-A57": ("Blade shaft", ""),
        "B-02": ("Bottom blade Fixed", ""),
        "B-E16": ("Blade extension, plastic", ""),
    }


def test_solidworks_as_text_in_utf_16_with_a_title_above(load):
    text = (
        'Frame 40\t\t\r\nITEM NO.\tPART NUMBER\tDESCRIPTION\r\n1\t"A" frame\tTube 1 1/4" x 3"\r\n'
    )
    options = ["--skip-lines", "1", "--quotes", "none"]
    assert load(text.encode("utf-16"), *options) == {'"A" frame': ('Tube 1 1/4" x 3"', "")}


KICAD = """\
"Source:","/home/ada/board.kicad_sch"
"Date:","today"

"Item","Qty","Reference(s)","Value","MPN","DNP"
"1","2","C1, C2","100n","CC-0402",""
"2","1","R1","10k","",""
"3","1","C3","100n","CC-0402","DNP"
"""


def test_kicad(load):
    options = ["--skip-lines", "3", "--column", "part_number=mpn", "--column", "description=value"]
    assert load(KICAD, *options, "--skip-unnumbered") == {"CC-0402": ("100n", "")}


def test_odoo(load):
    text = '"id","default_code","name","categ_id/id"\n"__export__.p_1","FURN-1","Desk 24"" wide","All"\n'
    options = ["--column=part_number=default_code", "--column=description=name"]
    assert load(text, *options) == {"FURN-1": ('Desk 24" wide', "")}


def test_part_db(load):
    text = "id;name;description;category;ipn\n1;BC547;NPN transistor;Transistors;P-0001\n2;NE555;;ICs;P-0002\n"
    options = ["--column", "part_number=IPN", "--column", "item_type=Category"]
    assert load(text, *options) == {
        "P-0001": ("NPN transistor", "Transistors"),
        "P-0002": ("", "ICs"),
    }


def test_inventree(load):
    text = "\ufeffPart ID,Part Name,Part Description,IPN\n7,M5x20,Screw ⌀5,M-7\n8,M5,Nut,\n"
    options = [
        "--column=part_number=Part Name",
        "--column=description=Part Description",
    ]
    assert load(text, *options) == {"M5x20": ("Screw ⌀5", ""), "M5": ("Nut", "")}


EXCEL = "sep=;\r\nPart Number;Description;Item Type\r\nA-1;Gehäuse, groß;part\r\n;;\r\nA-2\r\n"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "utf-16", "cp1252"])
def test_excel_in_each_of_its_encodings(load, encoding):
    loaded = load(EXCEL.encode(encoding), "--short-rows")
    assert loaded == {"A-1": ("Gehäuse, groß", "part"), "A-2": ("", "")}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_utf_16_in_each_order_with_and_without_a_mark(load, encoding, mark):
    assert load((mark + EXCEL[7:]).encode(encoding), "--short-rows").keys() == {"A-1", "A-2"}


@pytest.mark.parametrize("encoding", ["cp1250", "utf-16-le", "utf-8"])
def test_an_encoding_that_is_named(load, encoding):
    text = "\ufeff" if encoding == "utf-8" else ""
    text += "part_number,description\nA-1,Šroub\n"
    assert load(text.encode(encoding), "--encoding", encoding) == {"A-1": ("Šroub", "")}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(load, delimiter):
    others = "".join({",", ";", "|"} - {delimiter})
    rows = [["part_number", "description"], ["A-1", f"x{others}y"], ["A-2", ""]]
    text = "\n".join(delimiter.join(row) for row in rows)
    assert load(text) == {"A-1": (f"x{others}y", ""), "A-2": ("", "")}


@pytest.mark.parametrize(("named", "delimiter"), [("tab", "\t"), ("\\t", "\t"), ("^", "^")])
def test_a_delimiter_that_is_named(load, named, delimiter):
    text = f"part_number{delimiter}description\nA-1{delimiter}x\n"
    assert load(text, "--delimiter", named) == {"A-1": ("x", "")}


def test_a_delimiter_that_stands_in_the_headings_too(load):
    assert load("part_number;Length, mm;a, b, c;description\nA-1;1,5;;x\n") == {"A-1": ("x", "")}


def test_inch_marks(load):
    text = 'part_number,description\nA-1,1/4" bolt\nA-2,"bolt, 1/4"""\nA-3,5"\n'
    assert load(text) == {"A-1": ('1/4" bolt', ""), "A-2": ('bolt, 1/4"', ""), "A-3": ('5"', "")}


def test_inch_marks_that_are_not_doubled(load):
    text = (
        '"part_number","description","item_type"\n'
        '"A-1","1/4" bolt, long","part"\n"A-2","bolt 1/4"","part"\n"A-3",,""\n"A-4","24"" deep",\n'
    )
    assert load(text, "--quotes", "unescaped") == {
        "A-1": ('1/4" bolt, long', "part"),
        "A-2": ('bolt 1/4"', "part"),
        "A-3": ("", ""),
        "A-4": ('24" deep', ""),
    }


def test_a_second_table_below_is_not_read(load):
    text = "part_number,description\nA-1,x\n\nTotal,1,2,3\n"
    assert load(text, "--last-line", "3") == {"A-1": ("x", "")}


def test_delimiters_at_the_ends_of_lines(load):
    text = "part_number,description,,\nA-1,x\nA-2,y,,\n"
    assert load(text) == {"A-1": ("x", ""), "A-2": ("y", "")}


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends(load, line_end):
    text = line_end.join(["part_number,description", "A-1,x", "", " , ", 'A-2,"y', 'z"', ""])
    assert load(text) == {"A-1": ("x", ""), "A-2": ("y z", "")}


def test_a_heading_that_is_not_taken_may_stand_twice(load):
    assert load("qty,qty,part_number\n1,2,A-1\n") == {"A-1": ("", "")}


def test_one_of_two_headings_that_differ_in_case_can_be_chosen(load):
    text = "Description,description,part_number\na,b,A-1\n"
    assert load(text, "--column", "description=description") == {"A-1": ("b", "")}

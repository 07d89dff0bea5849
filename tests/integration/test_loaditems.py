"""`manage.py loaditems`: what it does with a part list, and what it refuses."""

import io
import unicodedata
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sessions_app import item_file
from sessions_app.models import Item
from tests.factories import make_item

pytestmark = pytest.mark.django_db


@pytest.fixture
def load(tmp_path):
    """Write a file and load it; return what the command says."""

    def run(text: str | bytes, *options: str) -> str:
        path = tmp_path / "parts.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        out = StringIO()
        call_command("loaditems", str(path), *options, stdout=out, stderr=StringIO())
        return out.getvalue()

    return run


def items() -> list[tuple[str, str, str]]:
    return list(Item.objects.values_list("part_number", "description", "item_type"))


def test_items_are_loaded(load):
    said = load(
        'part_number,description,item_type\nDIN 912/M5,"Screw, cylinder head",part\nÄ-1,,\n'
    )
    assert said == "2 new items, 0 changed, 0 unchanged.\n"
    screw = Item.objects.get(part_number="DIN 912/M5")
    assert (screw.description, screw.item_type) == ("Screw, cylinder head", "part")


def test_known_items_are_updated_and_keep_their_ids(load):
    known, same = make_item("A-1"), make_item("A-2")
    said = load("part_number,description\nA-1,new\nA-2,\nA-3,\n")
    assert said == "1 new items, 1 changed, 1 unchanged.\n"
    known.refresh_from_db()
    assert known.description == "new"
    assert Item.objects.get(part_number="A-2").pk == same.pk


@pytest.fixture
def described():
    return Item.objects.create(part_number="A-1", description="Bracket", item_type="part")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("part_number\nA-1\n", ("Bracket", "part")),
        ("part_number,description\nA-1,Strut\n", ("Strut", "part")),
        ("part_number,item_type\nA-1,assembly\n", ("Bracket", "assembly")),
        ("part_number,description,item_type\nA-1,,\n", ("Bracket", "part")),
        ("part_number,description,item_type\nA-1,,assembly\n", ("Bracket", "assembly")),
    ],
)
def test_missing_columns_and_empty_cells_change_nothing(load, described, text, left):
    load(text)
    described.refresh_from_db()
    assert (described.description, described.item_type) == left


def test_an_empty_cell_clears_only_with_the_option_and_its_column(load, described):
    load("part_number,description\nA-1,\n", "--clear-empty")
    described.refresh_from_db()
    assert (described.description, described.item_type) == ("", "part")


def test_a_concurrent_change_is_kept(load, described, monkeypatch):
    real = item_file._write

    def after_another_change(ids, pending):
        Item.objects.update(item_type="assembly")
        real(ids, pending)

    monkeypatch.setattr(item_file, "_write", after_another_change)
    load("part_number,description\nA-1,Strut\n")
    assert items() == [("A-1", "Strut", "assembly")]


def test_a_dry_run_shows_what_would_change_and_changes_nothing(load, described):
    make_item("A-2")
    said = load(
        "part_number,description,item_type\nA-1,Strut,assembly\nA-2,,\nB-1,x,\nB-2,,\n", "--dry-run"
    )
    assert said.splitlines() == [
        "new: B-1",
        "new: B-2",
        "changed: A-1: description 'Bracket' -> 'Strut'",
        "changed: A-1: item_type 'part' -> 'assembly'",
        "2 new items, 1 changed, 1 unchanged. Nothing was written: this was a dry run.",
    ]
    assert items() == [("A-1", "Bracket", "part"), ("A-2", "", "")]


def test_a_dry_run_shows_the_first_of_many(load):
    Item.objects.bulk_create(Item(part_number=f"A-{n}") for n in range(30))
    rows = [f"A-{n},{'long ' * 50}" for n in range(30)] + [f"B-{n}," for n in range(30)]
    said = load("part_number,description\n" + "\n".join(rows), "--dry-run").splitlines()
    assert "new: and 10 more" in said
    assert "changed: and 10 more" in said
    assert len(said) == 43
    assert max(map(len, said)) < 200


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("part_number\nA-1\n\x00\n", "line 3"),
        ("part_number\nA-1\n..\n", "line 3: a part number is not"),
        ("part_number,description\nA-1,x\nA-1,y\n", "line 3: 'A-1' stands in line 2 already"),
        ("part_number\n" + "x" * 201 + "\n", "line 2: a part number has at most"),
        ("part_number,description\nA-1," + "x" * 1001, "line 2: description has more than 1000"),
        ("part_number,description\nA-1,a\x07b", "line 2: description: control characters"),
        ("part_number,description\nA-1\n", "line 2: it has 1 cells, and there are 2 headings"),
        ("part_number,description\nA-1,b,c\n", "line 2: it has 3 cells, and there are 2 headings"),
        ("part_number,description\n,b\n", "line 2: there is no part number; --skip-unnumbered"),
        ("description\nA-1\n", "line 1: there is no column 'part_number' but 'description'"),
        ("a,b\n\npart_number,description\n", "but in line 3 there is: --skip-lines 2"),
        ("", "line 1: there is no column 'part_number' but nothing"),
        ("part_number,Part Number\n", "line 1: the heading"),
        ("PART NUMBER,Part Number\n", "line 1: the heading 'PART NUMBER' stands 2 times"),
        ("part_number,part_number\n", "line 1: the heading 'part_number' stands 2 times"),
        ('part_number\n"A-1\n', "line 2: a quotation mark is never closed"),
        ('part_number,description\nA-1,"1/4" bolt"\n', "there is --quotes unescaped"),
        ("PK\x03\x04", "this is a workbook: save it as CSV first"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_loaded(load, text, fault):
    with pytest.raises(CommandError, match="Nothing was loaded") as error:
        load(text)
    assert error.value.returncode == 1
    assert fault in str(error.value)
    assert not Item.objects.exists()


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--encoding", "utf-9"], "there is no encoding 'utf-9'"),
        (["--encoding", "hex"], "there is no encoding 'hex'"),
        (["--encoding", "ascii"], "line 2: a byte is not ascii"),
        (["--delimiter", "ab"], "--delimiter must be one character"),
        (["--delimiter", '"'], "--delimiter must be one character"),
        (["--skip-lines", "-1"], "are 0 or more"),
        (["--column", "colour=X"], "--column is NAME=HEADING"),
        (["--column", "description"], "--column is NAME=HEADING"),
        (["--column", "description=X", "--column", "description=Y"], "is given twice"),
        (["--column", "description=X"], "line 1: there is no column 'X'"),
    ],
)
def test_an_option_that_does_not_fit_is_one_sentence(load, options, fault):
    with pytest.raises(CommandError) as error:
        load("part_number\nÄ-1\n", *options)
    assert error.value.returncode == 1
    assert fault in str(error.value)
    assert not Item.objects.exists()


def test_every_fault_is_named_at_once(load):
    with pytest.raises(CommandError) as error:
        load('part_number,description\n..,\nA-1,"a"b"\nA-2,fine\nA-3\nA-2,other\n')
    named = [line.split(":")[0] for line in str(error.value).splitlines()]
    assert named == ["Nothing was loaded.", "line 2", "line 3", "line 5", "line 6"]


def test_the_first_of_differing_rows_counts_with_the_option(load):
    text = "part_number,description\nA-1,x\nA-1,y\nA-1,x\n"
    assert "2 rows of parts that stand there already" in load(text, "--first-of-doubles")
    assert items() == [("A-1", "x", "")]


def test_two_spellings_of_one_part_are_one_part(load):
    known = make_item("Gehäuse-1")
    decomposed = unicodedata.normalize("NFD", "gehäuse-1")
    text = f"part_number,description\nGEHÄUSE-1,x\n{decomposed},x\nA  1,y\na 1,y\n"
    said = load(text)
    assert said.startswith("1 new items, 1 changed, 0 unchanged. 2 rows of parts")
    assert items() == [("A  1", "y", ""), (known.part_number, "x", "")]


def test_two_spellings_that_say_different_things_are_named_both(load):
    with pytest.raises(CommandError, match="line 3: 'a-1' stands in line 2 already"):
        load("part_number,description\nA-1,x\na-1,y\n")
    assert items() == []


def test_the_first_of_many_bad_lines_are_named_and_all_counted(load):
    with pytest.raises(CommandError) as error:
        load("part_number\n" + "..\n" * 1000)
    lines = str(error.value).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "and 980 more"


@pytest.mark.parametrize("file", ["/does/not/exist.csv", "/"])
def test_a_file_that_cannot_be_read_is_one_sentence(file):
    with pytest.raises(CommandError, match="Nothing was loaded: ") as error:
        call_command("loaditems", file)
    assert len(str(error.value).splitlines()) == 1


def test_a_failure_in_the_middle_loads_nothing(load, monkeypatch):
    monkeypatch.setattr(item_file, "BATCH", 1)
    real = item_file.Loading._compare

    def fail_at_the_second(self, batch):
        if batch[0].part_number == "A-2":
            raise RuntimeError
        return real(self, batch)

    monkeypatch.setattr(item_file.Loading, "_compare", fail_at_the_second)
    with pytest.raises(RuntimeError):
        load("part_number\nA-1\nA-2\n")
    assert not Item.objects.exists()


def test_the_standard_input_is_a_part_list_too(monkeypatch):
    given = io.TextIOWrapper(io.BytesIO(b"part_number;description\r\nA-1;x\r\n"))
    monkeypatch.setattr("sys.stdin", given)
    call_command("loaditems", "-", stdout=StringIO(), stderr=StringIO())
    assert items() == [("A-1", "x", "")]


def test_it_says_how_it_understood_the_list(tmp_path):
    path = tmp_path / "parts.csv"
    path.write_bytes("PART NUMBER;Beschreibung;QTY.\r\nA-1;Gehäuse;1\r\n".encode("cp1252"))
    err = StringIO()
    options = {"column": ["description=Beschreibung"]}
    call_command("loaditems", str(path), **options, stdout=StringIO(), stderr=err)
    assert err.getvalue() == (
        "Read as Windows-1252 with ';' between cells: part_number from 'PART NUMBER', description from "
        "'Beschreibung'; not taken: 'QTY.'.\n"
    )
    assert items() == [("A-1", "Gehäuse", "")]

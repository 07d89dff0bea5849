"""`manage.py loaditems`."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from sessions_app.models import Item
from tests.factories import make_item

pytestmark = pytest.mark.django_db


@pytest.fixture
def load(tmp_path):
    """Write a file and load it; return what the command says."""

    def run(text: str | bytes) -> str:
        path = tmp_path / "parts.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        out = StringIO()
        call_command("loaditems", str(path), stdout=out, stderr=StringIO())
        return out.getvalue()

    return run


def test_items_are_loaded(load):
    said = load(
        'part_number,description,item_type\nDIN 912/M5,"Screw, cylinder head",part\nÄ-1,,\n'
    )
    assert said == "2 new items, 0 changed.\n"
    screw = Item.objects.get(part_number="DIN 912/M5")
    assert (screw.description, screw.item_type) == ("Screw, cylinder head", "part")


def test_what_is_known_is_taken_over_and_keeps_its_id(load):
    known, same = make_item("A-1"), make_item("A-2")
    assert load("part_number,description\nA-1,new\nA-2,\nA-3,\n") == "1 new items, 1 changed.\n"
    known.refresh_from_db()
    assert known.description == "new"
    assert Item.objects.get(part_number="A-2").pk == same.pk


def test_columns_may_come_in_any_order_after_a_byte_order_mark(load):
    load("\ufeffitem_type,part_number\npart,A-1\n".encode())
    assert Item.objects.get().item_type == "part"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("part_number\nA-1\n\x00\n", "line 3"),
        ("part_number\nA-1\n..\n", "line 3: a part number is not"),
        ("part_number\nA-1\nA-1\n", "line 3: 'A-1' stands in line 2 already"),
        ("part_number\n" + "x" * 201 + "\n", "line 2: a part number has at most"),
        ("part_number,description\nA-1," + "x" * 1001, "line 2: description has more than 1000"),
        ("part_number,description\nA-1,a\x07b", "line 2: description: control characters"),
        ("part_number,description\nA-1\n", "line 2: it has not 2 columns"),
        ("part_number,description\nA-1,b,c\n", "line 2: it has not 2 columns"),
        ("part_number,colour\nA-1,red\n", "line 1: the columns are"),
        ("description\nA-1\n", "line 1: the columns are"),
        ("", "line 1: the columns are"),
        (b"part_number\n\xff\n", "cannot be read"),
        ('part_number\n"A-1\n', "cannot be read"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_loaded(load, text, fault):
    with pytest.raises(CommandError, match="Nothing was loaded") as error:
        load(text)
    assert fault in str(error.value)
    assert not Item.objects.exists()


def test_many_bad_lines_are_not_all_named(load):
    with pytest.raises(CommandError) as error:
        load("part_number\n" + "..\n" * 1000)
    assert len(str(error.value).splitlines()) == 22


def test_a_missing_file_is_one_sentence():
    with pytest.raises(CommandError, match="there is no file"):
        call_command("loaditems", "/does/not/exist.csv")


def test_a_failure_in_the_middle_loads_nothing(load, monkeypatch):
    from sessions_app import item_file

    monkeypatch.setattr(item_file, "BATCH", 1)
    real = item_file._insert

    def fail_at_the_second(batch, loaded):
        if batch[0].part_number == "A-2":
            raise RuntimeError
        return real(batch, loaded)

    monkeypatch.setattr(item_file, "_insert", fail_at_the_second)
    with pytest.raises(RuntimeError):
        load("part_number\nA-1\nA-2\n")
    assert not Item.objects.exists()

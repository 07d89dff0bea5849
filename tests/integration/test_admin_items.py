"""Items in the admin site obey the rules of the API."""

import pytest

from sessions_app.admin import items
from sessions_app.models import FormerPartNumber, Item
from tests.factories import make_item
from tests.integration.admin_site import listed, text_of

pytestmark = pytest.mark.django_db


def test_item_is_added_described_and_renamed_but_not_deleted(boss):
    page = "/admin/sessions_app/item/"
    assert "DatabaseDefault" not in text_of(boss.get(page + "add/"))
    body = {"part_number": "DIN 912/M5 🔩", "description": "", "item_type": "screw"}
    assert boss.post(page + "add/", body).status_code == 302
    item = Item.objects.get()
    assert item.part_number == "DIN 912/M5 🔩"
    body = {"part_number": "other", "description": "a screw", "item_type": "screw"}
    assert boss.post(f"{page}{item.pk}/change/", body).status_code == 302
    item.refresh_from_db()
    assert (item.part_number, item.description) == ("other", "a screw")
    assert boss.post(f"{page}{item.pk}/delete/", {"post": "yes"}).status_code == 403
    make_item("third")
    assert listed(boss.get(page + "?item_type=screw")) == {item.pk}
    assert listed(boss.get(page + "?q=OTH")) == {item.pk}


@pytest.mark.parametrize(
    "body",
    [
        {"part_number": "."},
        {"part_number": "a\tb"},
        {"part_number": ""},
        {"part_number": "x" * 201},
        {"part_number": "good", "description": "a\x1bb"},
        {"part_number": "good", "item_type": "a\nb"},
    ],
)
def test_item_obeys_the_rules_of_the_api(boss, body):
    answer = boss.post("/admin/sessions_app/item/add/", body)
    assert answer.status_code == 200
    assert answer.context["errors"]
    assert not Item.objects.exists()


def test_admin_pages_do_not_grow_with_types_and_former_numbers(boss, monkeypatch):
    monkeypatch.setattr(items, "MAX_TYPES_LISTED", 3)
    monkeypatch.setattr(items, "MAX_FORMER_LISTED", 2)
    kept = make_item("kept")
    for number in range(5):
        Item.objects.create(part_number=f"P-{number}", item_type=f"type {number}")
        FormerPartNumber.objects.create(item=kept, part_number=f"former {number}")
    page = "/admin/sessions_app/item/"
    shown = text_of(boss.get(page))
    assert shown.count("?item_type=") == 3
    # Those that are not listed can still be asked for.
    assert len(listed(boss.get(page + "?item_type=type 4"))) == 1
    assert "former 0, former 1 and 3 more" in text_of(boss.get(f"{page}{kept.pk}/change/"))

"""Items in the admin site obey the rules of the API."""

import pytest

from sessions_app.models import Item
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

"""The pages of items, workstations and users in a real browser: by keyboard, by screen reader, in the reader's zone."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.test_board import LOOKS

ITEM = "A01-0001"
PAGE = f"/items/{ITEM}"


@pytest.fixture
def past(cad):
    """Ada holds a sketch, and has released a pad of the same item."""
    ada = cad("ada")
    was = ada.acquire(ITEM, object_id="Pad", context_level="partdesign")
    path = f"/api/items/{ITEM}/edit-sessions/{was}"
    assert ada.client.call("DELETE", path).status_code == 204
    return ada, ada.acquire(ITEM, object_id="Sketch001"), was


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(log_in, past, world, look):
    ada, _, _ = past
    page = log_in("vi", **LOOKS[look])
    of_ada = ("/users/ada", f"/workstations/{ada.workstation_id}")
    for path in (
        PAGE,
        f"{PAGE}?range=30d",
        f"{PAGE}?range=x",
        *of_ada,
        "/items/none",
        "/users/none",
    ):
        page.goto(world.url + path)
        found = Axe().run(page)
        assert not found.violations_count, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("violations") == []


def test_a_bar_is_reached_by_keyboard_and_leads_to_its_row(log_in, past, world):
    _, held, was = past
    page = log_in("vi")
    page.goto(world.url + PAGE)
    page.locator(".picture").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('svg a[href^=\"#s-\"]')")
    bar = page.locator(f"svg a[href='#s-{was}']")
    bar.focus()
    assert "Ada Lovelace (ada) on cad-ada" in str(bar.get_attribute("aria-label"))
    page.keyboard.press("Enter")
    assert page.locator("tr:target").get_attribute("id") == f"s-{was}"
    assert page.locator(f"svg a[href='#s-{held}']").count()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('tr') !== null")


def test_the_picture_is_drawn_in_the_readers_zone(log_in, past, world):
    page = log_in("vi", timezone_id="Asia/Tokyo")
    page.goto(world.url + PAGE)
    page.wait_for_selector("text=time zone Asia/Tokyo")
    page.goto(f"{world.url}/users/ada?range=today")
    assert page.locator("text=time zone Asia/Tokyo").count()


def test_everything_leads_to_everything(log_in, past):
    ada, held, _ = past
    page = log_in("vi")
    page.locator(f"#s{held} [data-what=item]").click()
    page.wait_for_url(f"**{PAGE}")
    page.get_by_role("link", name="Ada Lovelace").first.click()
    page.wait_for_url("**/users/ada")
    page.get_by_role("link", name="cad-ada").first.click()
    page.wait_for_url(f"**/workstations/{ada.workstation_id}")
    page.get_by_role("link", name=ITEM).first.click()
    page.get_by_role("link", name="see it live on the board").click()
    page.wait_for_url(f"**/?item={ITEM}")
    page.wait_for_selector(f"#s{held}")

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


def test_what_they_show_of_now_is_live(log_in, past, cad, world):
    """The pages of the item, of its holder and of the workstation show both the session and who waits, or for what."""
    ada, held, _ = past
    bob = cad("bob")
    of_ada = ("/users/ada", f"/workstations/{ada.workstation_id}")
    of_bob = ("/users/bob", f"/workstations/{bob.workstation_id}")
    # The latter two are not there as long as bob has nothing.
    bob.acquire("A01-0009")
    pages = {}
    for path in (PAGE, *of_ada, *of_bob):
        page = pages[path] = log_in("vi")
        page.goto(world.url + path)
        page.wait_for_selector("#live[data-state=live]")
    place = bob.stand(ITEM, object_id="Sketch001")
    for path in (PAGE, *of_ada):
        pages[path].wait_for_selector(f"#s{held}:has-text('Bob Noyce on cad-bob')")
    pages[PAGE].wait_for_selector("#places:has-text('Bob Noyce')")
    for path in of_bob:
        pages[path].wait_for_selector(f"#places:has-text('{ITEM}')")
    bob.leave(ITEM, place)
    for path in (PAGE, *of_bob):
        pages[path].wait_for_selector("#places:not(:has(table))", state="attached")
    ada.stream.kill()
    for path in (PAGE, *of_ada):
        pages[path].wait_for_selector(f"#s{held}", state="detached")
        assert pages[path].is_visible("#nobody")


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
    page.get_by_role("link", name="The same on the board").click()
    page.wait_for_url(f"**/?item={ITEM}")
    page.wait_for_selector(f"#s{held}")

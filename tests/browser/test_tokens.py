"""The page of one's own tokens, in a real browser."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.processes.service import Client

LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}},
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_token_is_made_by_keyboard_used_and_revoked_and_axe_finds_nothing(log_in, world, look):
    page = log_in("ada", **LOOKS[look])
    page.get_by_role("link", name="Tokens").click()
    page.get_by_label("What is it for?").focus()
    page.keyboard.type(f"CAD {look}")
    page.keyboard.press("Enter")
    made = page.get_by_role("status").locator("code")
    client = Client(world.server, made.inner_text())
    assert client.call("GET", "/api/me").json()["token"]["name"] == f"CAD {look}"
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    # A phone shows all of it, without a page that is wider than the screen.
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name=f"Revoke CAD {look}").click()
    page.get_by_text("The token is revoked.").wait_for()
    assert page.get_by_text(f"CAD {look}").count() == 0

"""The board in a real browser: live, right again by itself, usable by keyboard, screen reader and phone."""

import time
from statistics import median

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.waiting import eventually

# What a change may take to everybody's eyes, in the middle one of so many: a machine that stands still for a moment
# delays one.
SHOWN_SECONDS = 1.0
CHANGES = 3
# The longest pause between two readings, and the answer.
NOTICED_WITHIN_MS = 15_000
BACK_WITHIN_MS = 20_000

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"color_scheme": "light", **PHONE},
    "dark phone": {"color_scheme": "dark", **PHONE},
}


def row(page, session_id):
    return page.locator(f"#s{session_id}")


def wait_for_state(page, state, within):
    page.wait_for_selector(f"#live[data-state={state}]", timeout=within)


def test_two_boards_show_a_killed_client_within_a_second(log_in, cad):
    boards = [log_in("vi"), log_in("ada")]
    took = []
    for _ in range(CHANGES):
        program = cad("bob")
        held = program.acquire("A01-0001", object_id="Sketch001")
        for board in boards:
            row(board, held).wait_for()
            assert "Bob Noyce" in row(board, held).inner_text()
        program.stream.kill()
        killed = time.monotonic()
        for board in boards:
            row(board, held).wait_for(state="detached")
        took.append(time.monotonic() - killed)
    assert median(took) < SHOWN_SECONDS, took


# A row is marked for some seconds only, so the page notes which ones were, and what they said.
NOTE_MARKED = """
() => {
  window.marked = [];
  const note = () => {
    for (const row of document.querySelectorAll("#rows tr.changed")) marked.push([row.id, row.innerText]);
  };
  const changes = {childList: true, subtree: true, attributes: true};
  new MutationObserver(note).observe(document.getElementById("rows"), changes);
}
"""


def wait_for_mark(page, session, text=""):
    found = "([id, text]) => marked.some(([of, said]) => of === id && said.includes(text))"
    eventually(lambda: page.evaluate(found, [f"s{session}", text]), f"a mark of {session}, {text}")


def test_a_change_is_seen_to_change_and_interference_marks_both_sides(log_in, cad):
    board = log_in("vi")
    board.evaluate(NOTE_MARKED)
    ada, bob = cad("ada"), cad("bob")
    one = ada.acquire("A01-0002", object_id="Sketch001", dependency_cone=["Pad001"])
    wait_for_mark(board, one)
    board.wait_for_selector(f"#s{one}:not(.changed)")
    other = bob.acquire("A01-0002", object_id="Sketch002", dependency_cone=["Pad001"])
    for session, met in ((one, "Bob Noyce on cad-bob"), (other, "Ada Lovelace on cad-ada")):
        wait_for_mark(board, session, f"soft interference with {met}")


def test_a_filter_stays_while_others_work(log_in, cad):
    board = log_in("vi", "/?user=ada")
    ada, bob = cad("ada"), cad("bob")
    other = bob.acquire("A01-0003")
    mine = ada.acquire("A01-0004")
    row(board, mine).wait_for()
    assert not row(board, other).count()
    assert "user=ada" in board.url


def test_the_board_is_right_again_after_a_restart_of_the_server(log_in, cad, world, other):
    board = log_in("vi")
    ada = cad("ada", other)
    held = ada.acquire("A01-0005")
    row(board, held).wait_for()
    world.server.kill()
    wait_for_state(board, "lost", NOTICED_WITHIN_MS)
    assert "Connection lost at" in board.inner_text("#live")
    path = f"/api/workstations/{ada.workstation_id}/edit-sessions"
    assert ada.client.call("DELETE", path).status_code == 200
    later = ada.acquire("A01-0006")
    assert row(board, held).count()
    world.start_again()
    wait_for_state(board, "live", BACK_WITHIN_MS)
    row(board, later).wait_for()
    row(board, held).wait_for(state="detached")


def test_the_board_is_right_again_after_a_restart_of_the_database(log_in, cad, world):
    board = log_in("vi")
    ada = cad("ada")
    world.database.stop()
    wait_for_state(board, "lost", NOTICED_WITHIN_MS)
    world.database.start()
    wait_for_state(board, "live", BACK_WITHIN_MS)
    world.server.ready()
    held = ada.acquire("A01-0007")
    row(board, held).wait_for()


def test_a_line_is_shown_within_a_second_of_its_change(log_in, cad):
    board = log_in("vi")
    ada, bob = cad("ada"), cad("bob")
    held = ada.acquire("A01-0001", object_id="Sketch001")
    row(board, held).wait_for()
    waits = f"#s{held}:has-text('Bob Noyce on cad-bob')"
    took = {"visible": [], "detached": []}

    def wait_for(state):
        begun = time.monotonic()
        board.wait_for_selector(waits, state=state)
        took[state].append(time.monotonic() - begun)

    for _ in range(CHANGES):
        place = bob.stand("A01-0001", object_id="Sketch001")
        wait_for("visible")
        bob.leave("A01-0001", place)
        wait_for("detached")
    assert max(map(median, took.values())) < SHOWN_SECONDS, took


def hide(page, hidden):
    """Say to a page that it is hidden, or seen again: a browser without a screen never does."""
    page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_a_page_that_was_hidden_is_right_when_it_is_seen_again(log_in, cad, world):
    board = log_in("vi")
    ada = cad("ada")
    before = ada.acquire("A01-0001")
    row(board, before).wait_for()
    streams = []
    board.on("request", lambda one: "/api/events" in one.url and streams.append(one))
    hide(board, hidden=True)
    assert "Paused" in board.inner_text("#live")
    path = f"/api/workstations/{ada.workstation_id}/edit-sessions"
    assert ada.client.call("DELETE", path).status_code == 200
    later = ada.acquire("A01-0002")
    # What a board shows that is seen proves that the events have come.
    row(log_in("vi"), later).wait_for()
    assert row(board, before).count()
    assert not row(board, later).count()
    assert not streams
    hide(board, hidden=False)
    wait_for_state(board, "live", BACK_WITHIN_MS)
    row(board, later).wait_for()
    row(board, before).wait_for(state="detached")
    assert len(streams) == 1


def test_after_a_stream_reset_everything_is_read_again(log_in, cad, world):
    board = log_in("vi")
    sent = "event: stream-reset\nid: 1-1\ndata: {}\n\n"
    board.route(
        "**/api/events*",
        lambda route: route.fulfill(body=sent, content_type="text/event-stream"),
    )
    # No stream says that it is open, so nothing but the reset has the page read.
    with board.expect_request(lambda one: one.url.endswith("/board/rows?")):
        board.goto(world.url)
    board.unroute("**/api/events*")
    wait_for_state(board, "live", BACK_WITHIN_MS)


def test_the_board_is_right_again_after_the_network_was_cut(log_in, cad):
    board = log_in("vi")
    ada = cad("ada")
    held = ada.acquire("A01-0003")
    row(board, held).wait_for()
    board.context.set_offline(True)
    wait_for_state(board, "lost", NOTICED_WITHIN_MS)
    later = ada.acquire("A01-0004")
    assert "This may be out of date" in board.inner_text("#live")
    assert not row(board, later).count()
    board.context.set_offline(False)
    wait_for_state(board, "live", BACK_WITHIN_MS)
    row(board, later).wait_for()
    assert row(board, held).count()


def test_earlier_sessions_are_reached_below_a_base_path(log_in, cad, world, stack):
    server = world.serve(SILO_BASE_PATH="/silo/")
    stack.callback(server.close)
    ada = cad("ada")
    wanted = [
        {"part_number": "A01-0005", "context_level": "sketch", "object_id": f"S{number}"}
        for number in range(101)
    ]
    body = {"workstation_id": str(ada.workstation_id), "sessions": wanted}
    answer = ada.client.call("POST", "/api/edit-sessions/batch", body)
    assert answer.status_code == 200, answer.text
    first = answer.json()["sessions"][0]["session_id"]
    board = log_in("vi", base=server.url)
    board.wait_for_selector("#next:not([hidden])")
    # Read anew by the script, the link leads to the same page.
    before = board.get_attribute("#next", "href")
    with board.expect_response(lambda one: "/silo/board/rows" in one.url):
        hide(board, hidden=True)
        hide(board, hidden=False)
    wait_for_state(board, "live", BACK_WITHIN_MS)
    assert board.get_attribute("#next", "href") == before
    board.click("#next")
    row(board, first).wait_for()
    assert board.url.startswith(f"{server.url}/?before=")
    assert board.locator("#rows tr").count() == 1


def test_a_log_out_elsewhere_leads_to_the_page_for_logging_in(log_in, world):
    board = log_in("vi")
    second = board.context.new_page()
    second.goto(world.url)
    second.get_by_role("button", name="Log out").click()
    board.wait_for_url("**/board/log-in?next=/", timeout=NOTICED_WITHIN_MS)


def test_one_logs_in_and_waits_in_line_by_keyboard_alone(chromium, world, stack, cad):
    bob = cad("bob")
    cad("ada")
    bob.acquire("A01-0008")
    page = chromium.new_page()
    stack.callback(page.close)
    page.goto(world.url)
    keys = page.keyboard
    page.locator("#id_username").focus()
    keys.type("ada")
    keys.press("Tab")
    keys.type("correct horse")
    keys.press("Enter")
    page.wait_for_selector("#live[data-state=live]")
    page.locator("[data-what=act]").focus()
    keys.press("Enter")
    page.get_by_role("button", name="Stand in line").focus()
    keys.press("Enter")
    page.wait_for_selector(".messages:has-text('You stand in line for A01-0008')")
    page.wait_for_selector("#board:has-text('Ada Lovelace on cad-ada')")


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(log_in, cad, world, look):
    bob, ada = cad("bob"), cad("ada")
    held = bob.acquire("A01-0009", object_id="Sketch001", note="until noon", dependency_cone=["P"])
    own = ada.acquire("A01-0009", object_id="Sketch002", dependency_cone=["P"])
    page = log_in("ada", **LOOKS[look])
    places = ["/", f"/board/sessions/{held}", f"/board/sessions/{own}", "/board/password"]
    for path in (*places, "/?user=nobody", "/board/sessions/00000000-0000-0000-0000-000000000000"):
        page.goto(world.url + path)
        found = Axe().run(page)
        assert not found.violations_count, found.generate_report()
        # Nothing is wider than the screen; a table scrolls by itself, and the board's has no need to.
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if path == "/":
            fits = "(board) => board.scrollWidth <= board.parentElement.clientWidth"
            assert page.eval_on_selector("#board", fits)
        assert page.evaluate("violations") == []
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/board/log-in")
    assert not Axe().run(page).violations_count

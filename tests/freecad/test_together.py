"""Two FreeCADs and a `silo edit`: the line, asking and handing over, deaths, a server that is away, the end."""

import os
import signal
import sys
import time

from tests.freecad.test_editing import DRAW, free
from tests.processes.service import Process
from tests.waiting import eventually

# A killed FreeCAD frees what it held at once; two busy cores may take longer.
KILLED_SECONDS = 5.0
# Python's interpreter lock is held for so long, as by a recompute.
RECOMPUTE_SECONDS = 6
# More than the heartbeats and the time-outs of this server, several times.
RECOMPUTE = f"""
import ctypes
# A call of a C function by PyDLL keeps the lock.
ctypes.PyDLL(None).sleep({RECOMPUTE_SECONDS})
"""


WITHDRAW = """
    UPDATE sessions_app_apitoken SET revoked_at = now()
    WHERE user_id = (SELECT id FROM auth_user WHERE username = 'dora')
"""


def test_the_turn_comes_when_the_holder_leaves(ada, bob, part, world):
    part(ada)
    part(bob)
    ada.enters("Sketch")
    bob.enters("Sketch")
    bob.asked("ada (Ada Lovelace) is editing")
    bob.answers("Wait in line")
    bob.shows("Sketch of FC-0001 · place 1, ada has it")
    ada.shows("bob (Bob Noyce) waits for Sketch of FC-0001 · place 1")
    ada.leaves()
    bob.asked("It is your turn: you have the lock of Sketch of FC-0001")
    bob.shows("your turn: enter it, or release it")
    assert world.holders() == [("bob", "Sketch")]
    bob.answers("Edit it")
    bob.until("Gui.editDocument() is not None")
    bob.shows("Sketch of FC-0001 · in edit")
    assert not ada.enters("Sketch")
    ada.asked("bob (Bob Noyce) is editing")


def test_a_file_that_another_one_saved_is_read_again_with_the_lock(ada, bob, part, world):
    file = part(ada)
    bob.opens(file)
    ada.enters("Sketch")
    bob.enters("Sketch")
    bob.asked("is editing")
    bob.answers("Wait in line")
    bob.shows("place 1, ada has it")
    ada.do(DRAW)
    ada.leaves()
    ada.do("App.ActiveDocument.save()")
    bob.asked(
        "It is your turn: you have the lock of Sketch of FC-0001. The file was saved meanwhile"
    )
    bob.answers("Open it again and edit")
    bob.until("Gui.editDocument() is not None")
    count = "App.ActiveDocument.Sketch.GeometryCount"
    assert bob.value(count) == ada.value(count)
    assert world.holders() == [("bob", "Sketch")]
    bob.do(DRAW)
    bob.leaves()
    bob.do("App.ActiveDocument.save()")
    assert bob.enters("Sketch")
    assert bob.questions == []
    bob.leaves()
    # The one who begins an edit of what is no longer the file is told, too.
    free(world)
    assert ada.enters("Sketch")
    ada.asked("was saved by somebody else since you opened it")
    [session] = world.client("cy").held("FC-0001")
    ada.answers("Open it again and edit")
    ada.until(f"Gui.editDocument() is not None and {count} == {bob.value(count)}")
    # The lock was held meanwhile.
    assert world.client("cy").held("FC-0001")[0]["session_id"] == session["session_id"]
    assert ada.questions == []


def test_of_two_windows_of_a_user_one_gets_the_turn(start, ada, bob, part, world):
    file = part(ada)
    part(bob)
    bob.enters("Sketch")
    second = start("ada")
    second.opens(file)
    for window in (ada, second):
        window.enters("Sketch")
        window.asked("bob (Bob Noyce) is editing")
        window.answers("Wait in line")
        window.shows("place 1, bob has it")
    bob.leaves()
    for window in (ada, second):
        eventually(lambda window=window: window.questions, "the turn, or whose it is")
    told = sorted(one for window in (ada, second) for one in window.questions)
    assert [one.split(":")[0] for one in told] == [
        "It is your turn",
        "Your other FreeCAD window has Sketch of FC-0001",
    ]
    assert world.holders() == [("ada", "Sketch")]
    second.kill()


def test_leaving_the_line_gives_nothing(ada, bob, part, world):
    part(ada)
    part(bob)
    ada.enters("Sketch")
    bob.enters("Sketch")
    bob.asked("is editing")
    bob.answers("Wait in line")
    ada.shows("bob (Bob Noyce) waits")
    bob.clicks("Leave the line")
    ada.shows_not("bob (Bob Noyce) waits")
    ada.leaves()
    free(world)


def test_a_question_about_a_closed_document_closes(ada, bob, part):
    part(ada)
    part(bob)
    ada.enters("Sketch")
    bob.enters("Sketch")
    bob.asked("is editing")
    bob.do("App.closeDocument(App.ActiveDocument.Name)")
    bob.until(
        "not [one for one in QtGui.QApplication.topLevelWidgets() if isinstance(one, Question)]"
    )


def test_who_is_asked_saves_and_hands_over_by_one_click(ada, bob, part, world):
    file = part(ada)
    part(bob)
    ada.enters("Sketch")
    ada.do(DRAW)
    before = file.stat().st_mtime_ns
    bob.enters("Sketch")
    bob.asked("is editing")
    # Enter in the line of the message asks.
    bob.do(
        "[line] = [line for one in QtGui.QApplication.topLevelWidgets() if isinstance(one, Question)"
        " and one.isVisible() for line in one.findChildren(QtGui.QLineEdit)]\n"
        "line.setText('I need the hole')\n"
        "for kind in (QtCore.QEvent.KeyPress, QtCore.QEvent.KeyRelease):\n"
        "    key = QtGui.QKeyEvent(kind, QtCore.Qt.Key_Return, QtCore.Qt.NoModifier)\n"
        "    QtGui.QApplication.sendEvent(line, key)"
    )
    ada.asked(
        "bob (Bob Noyce) asks for Sketch of FC-0001: I need the hole\nThe file is saved first."
    )
    ada.shows("bob (Bob Noyce) asks for Sketch of FC-0001")
    ada.clicks("Hand over")
    bob.asked("It is your turn")
    assert world.holders() == [("bob", "Sketch")]
    assert not ada.in_edit
    assert file.stat().st_mtime_ns > before
    assert ada.questions == []
    ada.shows("was handed over to bob (Bob Noyce)")
    ada.shows_not("I hold")


def test_a_killed_freecad_frees_at_once(users, ada, bob, part, world):
    part(ada)
    part(bob)
    ada.enters("Sketch")
    ada.do(DRAW)
    bob.enters("Sketch")
    bob.asked("is editing")
    bob.answers("Wait in line")
    bob.shows("place 1, ada has it")
    killed = time.monotonic()
    ada.kill()
    bob.asked("It is your turn", KILLED_SECONDS)
    print(f"killed until the other has it: {time.monotonic() - killed:.2f} s")
    assert world.holders() == [("bob", "Sketch")]


def test_the_user_goes_on_without_the_server_and_is_locked_when_it_is_back(ada, bob, part, world):
    part(ada)
    part(bob)
    ada.hurries()
    world.server.close()
    bob.until("not silo().connection.connected", 60)
    begun = time.monotonic()
    assert ada.enters("Sketch")
    # The GUI waits one second for the answer.
    assert time.monotonic() - begun < 5
    ada.shows("Sketch of FC-0001 is not locked: ")
    ada.do(DRAW)
    world.start_again()
    eventually(lambda: world.holders() == [("ada", "Sketch")], "locked", 60)
    ada.shows_not("is not locked")
    bob.connected()
    assert not bob.enters("Sketch")
    ada.leaves()
    ada.do("App.ActiveDocument.save()")
    free(world)


def test_a_server_that_hangs_does_not_stop_freecad(ada, part, world):
    part(ada)
    ada.hurries()
    ada.do("silo().windows.panel.hide()")
    world.server.signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert ada.enters("Sketch")
        assert time.monotonic() - begun < 5
        ada.shows("Sketch of FC-0001 is not locked: ")
        # Where the dock is hidden, it is said elsewhere.
        ada.line("Silo Sessions: Sketch of FC-0001 is not locked: ")
        ada.do("silo().show_dock()")
        begun = time.monotonic()
        ada.leaves()
        assert time.monotonic() - begun < 5
        assert ada.enters("Sketch001")
    finally:
        world.server.signal(signal.SIGCONT)
    eventually(lambda: world.holders() == [("ada", "Sketch001")], "only what is in edit", 60)
    ada.shows_not("is not locked", 60)


def test_what_was_entered_without_the_server_may_be_another_users_afterwards(ada, bob, part, world):
    part(ada)
    part(bob)
    bob.hurries()
    world.server.close()
    bob.until("not silo().connection.connected", 60)
    assert bob.enters("Sketch")
    bob.shows("Sketch of FC-0001 is not locked: ")
    # Another one comes first, while bob's FreeCAD is stopped.
    bob.signal(signal.SIGSTOP)
    world.start_again()
    ada.connected()
    assert ada.enters("Sketch")
    eventually(lambda: world.holders() == [("ada", "Sketch")], "ada has it", 60)
    bob.signal(signal.SIGCONT)
    bob.asked("You are editing it without a lock", 60)
    bob.answers("Leave the edit")
    bob.until("Gui.editDocument() is None")
    assert world.holders() == [("ada", "Sketch")]


def test_a_long_recompute_loses_nothing(ada, part, world):
    part(ada)
    ada.enters("Sketch")
    ada.shows("in edit")
    [session] = world.client("cy").held("FC-0001")
    ada.do(RECOMPUTE)
    assert ada.value("silo().edits.current.session.valid")
    assert world.client("cy").held("FC-0001")[0]["session_id"] == session["session_id"]


def test_a_quit_with_an_unsaved_change_holds_until_the_question_is_answered(ada, part, world):
    part(ada)
    ada.enters("Sketch")
    ada.do(DRAW)
    ada.do("QtCore.QTimer.singleShot(0, Gui.getMainWindow().close)")
    ada.until(
        "[one.text() for box in QtGui.QApplication.topLevelWidgets()"
        " if isinstance(box, QtGui.QMessageBox) and box.isVisible() for one in box.buttons()]"
    )
    # The edit is over, the change is not saved.
    assert not ada.in_edit
    assert world.holders() == [("ada", "Sketch")]
    ada.do(
        "[box.button(QtGui.QMessageBox.Discard).click() for box in"
        " QtGui.QApplication.topLevelWidgets() if isinstance(box, QtGui.QMessageBox)]"
    )
    ended = time.monotonic()
    assert ada.wait() == 0
    print(f"FreeCAD ends within {time.monotonic() - ended:.1f} s")
    free(world)


def test_silo_edit_and_freecad_exclude_each_other(ada, part, world, tmp_path):
    part(ada)
    env = os.environ | {
        "SILO_URL": world.url,
        "SILO_TOKEN": world.token("cy"),
        "SILO_STATE": str(tmp_path / "state"),
        "SILO_CONFIG_HOME": str(tmp_path / "config"),
    }
    command = (sys.executable, "-m", "silo_client.cli", "edit", "FC-0001", "--level", "sketch")
    terminal = Process(*command, "--object", "Sketch", "--", "sleep", "600", env=env)
    try:
        eventually(lambda: world.holders() == [("cy", "Sketch")], terminal.output)
        assert not ada.enters("Sketch")
        ada.asked("cy is editing Sketch of FC-0001 on ")
        ada.answers("Wait in line")
        ada.shows("place 1, cy has it")
        terminal.signal(signal.SIGINT)
        ada.asked("It is your turn")
        assert world.holders() == [("ada", "Sketch")]
    finally:
        terminal.close()


def test_a_lock_that_an_admin_took_is_told(ada, part, world):
    part(ada)
    ada.enters("Sketch")
    [session] = world.client("cy").held("FC-0001")
    admin = world.client("root")
    path = f"/api/items/FC-0001/edit-sessions/{session['session_id']}/force-release"
    assert admin.call("DELETE", path, {"reason": "on holiday"}).status_code == 204
    ada.asked("You no longer have the lock of Sketch of FC-0001: an administrator ended it")
    ada.shows("Sketch of FC-0001 is not locked: an administrator ended it (root: on holiday)")
    assert world.holders() == []
    ada.leaves()
    ada.shows_not("is not locked")


def test_a_withdrawn_token_is_told_and_a_new_one_locks_again(start, part, world):
    dora = start("dora")
    part(dora)
    dora.enters("Sketch")
    dora.shows("in edit")
    world.database.query(WITHDRAW)
    dora.shows("Not connected: ", 60)
    dora.shows("Sketch of FC-0001 is not locked: ")
    token = world.database.manage("createtoken", "dora", "--role", "editor")
    dora.do(
        "from freecad.silo_sessions.connection import LogInForm\n"
        f"silo().connection.log_in(LogInForm({world.url!r}, {token!r}), lambda outcome: None)"
    )
    dora.connected()
    dora.shows_not("is not locked")
    eventually(lambda: world.holders() == [("dora", "Sketch")], "locked again")
    dora.kill()


def test_a_new_user_logs_in_and_gives_a_part_number(start, world, made_part, tmp_path):
    cy = start("cy", logged_in=False)
    cy.shows("Not connected: No server is known.")
    cy.clicks("Log in…")
    cy.until("silo().windows._log_in is not None")
    cy.do(
        f"window = silo().windows._log_in\nwindow.url.setText({world.url!r})\n"
        "window.token.setText('wrong')\nwindow.button.click()"
    )
    cy.until("'token' in window.status.text().lower() and window.button.isEnabled()")
    cy.do(f"window.token.setText({world.token('cy')!r})\nwindow.button.click()")
    cy.connected()
    cy.shows(f"Connected to {world.url} as cy")
    cy.until("not window.isVisible()")
    cy.do("App.newDocument('New').addObject('PartDesign::Body', 'Body')")
    cy.do(f"App.ActiveDocument.saveAs({str(tmp_path / 'new.FCStd')!r})")
    cy.clicks("Part number…")
    cy.until(
        "any(isinstance(one, QtGui.QInputDialog) for one in QtGui.QApplication.topLevelWidgets())"
    )
    cy.do(
        "box = [one for one in QtGui.QApplication.topLevelWidgets()"
        " if isinstance(one, QtGui.QInputDialog)][0]\nbox.setTextValue('FC-0003')\nbox.accept()"
    )
    cy.until("silo().part_number(App.ActiveDocument) == 'FC-0003'")
    cy.do("App.ActiveDocument.Body.Label = 'Lid'")
    cy.shows("Body of FC-0003 is not locked: ")
    cy.shows("FC-0003: There is no item FC-0003.")
    cy.clicks("Create the part")
    eventually(lambda: world.holders("FC-0003") == [("cy", "Body")], "locked")
    cy.shows_not("There is no item")
    cy.shows_not("is not locked")
    # The log-in is kept.
    cy.do("App.closeDocument('New')")
    cy.kill()
    again = start("cy", logged_in=False)
    again.connected()
    again.kill()

"""`silo rename` and `silo retire`, and every command by another spelling of a part number."""

SPELLING = " din\u00a0912/M5  GRÖSSE "


def test_every_command_takes_another_spelling_and_shows_the_parts_own(ada, root, part, gate):
    ada.edit(SPELLING, gate.command())
    for command in ("who", "items"):
        assert part in ada.run(command, SPELLING).stdout
    waiting = root.start("edit", SPELLING.upper(), "--wait", "--", *gate.command())
    waiting.line("place 1")
    assert "root" in ada.run("line", SPELLING).stdout
    asked = root.run("request", SPELLING, "-m", "please")
    assert f"for {part} / assembly" in asked.stderr
    released = ada.run("release", SPELLING)
    assert f"Released {part}" in released.stderr
    # It was root's turn, who had asked in yet another spelling.
    waiting.line("begun")
    assert part in ada.run("history", SPELLING).stdout


def test_a_part_is_renamed_while_it_is_edited_and_waited_for(ada, root, part, gate):
    ada.edit(part, gate.command())
    waiting = root.start("edit", part, "--wait", "--", *gate.command())
    waiting.line("place 1")
    assert root.run("rename", part, "ISO 4762").stderr == f"silo: {part} is ISO 4762 now.\n"
    assert "ISO 4762" in ada.run("who", part).stdout
    assert ada.run("release", part).returncode == 0
    waiting.line("begun")
    refused = ada.run("edit", part, "--", "true")
    assert (refused.returncode, "was renamed to ISO 4762." in refused.stderr) == (5, True)
    assert ada.run("rename", "ISO 4762", "other").returncode != 0


def test_a_retired_part_is_not_edited_any_more(ada, root, part):
    assert root.run("retire", part).stderr == f"silo: {part} is retired.\n"
    assert ada.run("items").stderr == "silo: There are no parts.\n"
    refused = ada.run("edit", part, "--", "true")
    assert refused.returncode != 0
    assert f"{part} is retired" in refused.stderr
    assert root.run("retire", part, "--restore").returncode == 0
    assert ada.run("edit", part, "--", "true").returncode == 0

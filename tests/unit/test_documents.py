"""Every code block of the pages is of a known language, can be read, and is run by a test or says why not."""

import ast
import configparser
import json
import re
import subprocess

import pytest
import yaml

from tests.documents import BLOCK, PAGES, ROOT, blocks_of, commands_of

# tests/processes/test_documents.py runs these; the others have to say who does.
RUN = {"sh", "python", "yaml", "json"}
# Nothing that anybody types.
SHOWN = {"text"}
SECTIONS = {"modules", "server", "limits", "accounts"}
OF_THE_SYSTEM = re.compile(
    r"\b(?:systemctl|systemd-\w+|sudo|apt(?:-get)?|useradd|createuser|createdb|docker|podman|install -|reboot)"
)
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
CHECKS = {
    "python": ast.parse,
    "yaml": yaml.safe_load,
    "json": json.loads,
    "ini": lambda code: configparser.RawConfigParser(strict=False).read_string(code),
}


def test_no_block_is_overlooked():
    fences = sum(len(re.findall(r"(?m)^ *```", page.read_text())) for page in PAGES)
    assert fences == 2 * len(BLOCKS)
    assert len([block for block in BLOCKS if block.language in RUN and not block.reason]) > 8


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_is_run_or_says_why_not(block):
    if block.language in SHOWN:
        return
    if block.language not in RUN:
        assert block.reason, (
            f"{block}: no test runs {block.language or 'a block without a language'}"
        )
    if block.reason:
        named = re.findall(r"[\w/]+\.py", block.reason)
        assert all((ROOT / name).exists() for name in named), block.reason


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_can_be_read(block):
    if block.language == "sh":
        read = subprocess.run(["bash", "-n"], input=block.code, capture_output=True, text=True)
        assert read.returncode == 0, read.stderr
    elif check := CHECKS.get(block.language):
        check(block.code)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "client/README.md"], ids=lambda page: page.name)
def test_every_command_is_of_the_environment_that_make_run_has_made(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?<![\w/.-])(?<!-m )(?:python|pytest) [\w./-]", text)
    assert not re.findall(r"(?<!\.venv/bin/)python manage\.py", text)
    # Debian's own Python refuses it.
    assert not re.findall(r"(?<![\w/] -m )(?<!bin/)(?<!-m )\bpip install -r", text)


def test_reasons_and_languages_are_found():
    text = "<!-- not run: needs root -->\n\n```sh\nreboot\n```\n\n```\npicture\n```\n"
    assert [(one["reason"], one["language"], one["code"]) for one in BLOCK.finditer(text)] == [
        ("needs root", "sh", "reboot\n"),
        (None, "", "picture\n"),
    ]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_that_is_run_is_of_this_service(block):
    if block.reason:
        return
    if block.language == "yaml":
        # A file of another program says that it is one.
        assert set(yaml.safe_load(block.code)) <= SECTIONS, f"{block}: mark it with `not run: ...`"
    if block.language == "sh":
        asked = OF_THE_SYSTEM.search(block.code)
        assert not asked, f"{block}: mark it with `not run: ...`, as no test may call {asked[0]}"


def test_a_command_may_have_several_lines():
    assert commands_of("one \\\n  two\n# a word\n\nthree # four\n") == [
        "one    two",
        "three # four",
    ]

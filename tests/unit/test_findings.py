"""The form of the scripts in findings/, which no test run includes: CONTRIBUTING.md states it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "findings").glob("*"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_finding_has_the_form(script):
    assert script.suffix == ".sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)
    text = script.read_text()
    comment = text.partition("\nset -euo pipefail\n")[0]
    assert comment.startswith("#!/usr/bin/env bash\n# ")
    assert all(line.startswith("#") for line in comment.splitlines())
    title = comment.splitlines()[1]
    assert re.search(r"\d+\.\d+", title), "the first line names the version"
    for heading in ("# One would guess: ", "# What is so: ", "# Seen", "Exits with 1 if"):
        assert heading in comment
    assert "mktemp -d" in text
    assert "rm -rf" in text

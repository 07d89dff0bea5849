"""The look for known vulnerabilities: one fails the run, and a look-up that failed is not taken for none."""

import json

import pytest

import tools.audit
from tools.audit import judge

FINE = {"name": "django", "version": "5.2.19", "vulns": []}
SKIPPED = {"name": "six", "skip_reason": "Dependency not found on PyPI"}
OWN = {"name": "-e ./client", "skip_reason": "could not deduce package version"}
VULNERABLE = {
    "name": "daphne",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}],
}


def report(*packages):
    return json.dumps({"dependencies": packages, "fixes": []})


@pytest.mark.parametrize("required", [False, True])
def test_packages_without_vulnerabilities_pass(capsys, required):
    assert judge(report(FINE, OWN), said="", required=required) == 0
    assert capsys.readouterr().out == "Vulnerable: 0 of 1 audited packages\n"


@pytest.mark.parametrize("required", [False, True])
def test_a_known_vulnerability_fails(capsys, required):
    assert judge(report(FINE, VULNERABLE, SKIPPED), said="", required=required) == 1
    told = capsys.readouterr().out
    assert "daphne 1.0: PYSEC-2026-1, mended in 1.1" in told
    assert "Vulnerable: 1 of 2 audited packages" in told


@pytest.mark.parametrize("required", [False, True])
@pytest.mark.parametrize(
    ("text", "said", "sentence"),
    [
        ("", "Traceback\nProxyError: refused\n", "unknown: ProxyError: refused"),
        ("", "", "unknown: it says nothing"),
        (report(), "", "0 of 0 packages"),
        (report(SKIPPED), "", "1 of 1 packages, for example: Dependency not found on PyPI"),
        (report(FINE, SKIPPED, OWN), "", "1 of 2 packages"),
        (report(OWN), "", "0 of 0 packages"),
    ],
)
def test_a_failed_look_up_is_told_and_fails_where_it_is_required(
    capsys, text, said, sentence, required
):
    assert judge(text, said=said, required=required) == int(required)
    told = capsys.readouterr().out
    assert "NOT AUDITED: " in told
    assert sentence in told


@pytest.mark.parametrize(
    ("required", "answers", "code", "waited"),
    [
        (True, ["", report(FINE)], 0, [5]),
        (True, [""] * 4, 1, [5, 20, 60]),
        (True, [report(VULNERABLE)], 1, []),
        (False, [""], 0, []),
    ],
)
def test_a_service_that_does_not_answer_is_asked_again_where_it_is_required(
    monkeypatch, required, answers, code, waited
):
    monkeypatch.setattr(tools.audit, "look", lambda _: (answers.pop(0), "no answer"))
    pauses = []
    assert tools.audit.audit([], required=required, wait=pauses.append) == code
    assert (pauses, answers) == (waited, [])

"""Look for known vulnerabilities in the pinned requirements, by pip-audit.

Ends with 1 if there is one. A look-up that fails says nothing about vulnerabilities: it is printed, and ends with 1
only where SILO_AUDIT=required, as on a hosted CI, which reaches the service.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from time import sleep
from typing import Any

# Those of one environment at a time: pip-audit refuses two versions of one package.
ENVIRONMENTS = (
    (
        *("requirements.txt", "constraints.txt", "requirements-docs.txt"),
        *("requirements-browser.txt", "requirements-directory.txt"),
        *("requirements-oidc.txt", "requirements-ha.txt"),
    ),
    ("client/vendored.txt",),
)
OPTIONS = (
    # The files pin everything, so nothing has to be resolved. This repository's own packages are on no index.
    *("--no-deps", "--disable-pip", "--skip-editable"),
    *("--format", "json", "--progress-spinner", "off"),
)
# Between two tries to reach the service, in seconds.
PAUSES = (5, 20, 60)


def main() -> None:
    required = os.environ.get("SILO_AUDIT") == "required"
    sys.exit(max(audit(files, required=required) for files in ENVIRONMENTS))


def audit(files: Iterable[str], *, required: bool, wait: Callable[[float], None] = sleep) -> int:
    """Audit some files of requirements, print what is found; return the exit code.

    Args:
        files: the files.
        required: see `judge`. A service that does not answer is asked again, later each time.
        wait: waits so many seconds.
    """
    report, said = look(files)
    for seconds in PAUSES if required else ():
        if report:
            break
        wait(seconds)
        report, said = look(files)
    return judge(report, said=said, required=required)


def look(files: Iterable[str]) -> tuple[str, str]:
    """Run pip-audit; return its report in JSON, empty if it wrote none, and its standard error."""
    named = [word for file in files for word in ("-r", file)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "pip_audit", *named, *OPTIONS, "--output", str(report)],
            capture_output=True,
            text=True,
            check=False,
        )
        # Without the service pip-audit writes no report.
        return report.read_text() if report.exists() else "", done.stderr


def judge(report: str, *, said: str, required: bool) -> int:
    """Print what a report says; return the exit code.

    Args:
        report: pip-audit's report in JSON; empty if it wrote none.
        said: pip-audit's standard error.
        required: whether a package that was not looked up is a failure.
    """
    if not report:
        reason = (said.strip().splitlines() or ["it says nothing"])[-1]
        print(f"NOT AUDITED: pip-audit failed, so vulnerabilities are unknown: {reason}")
        return int(required)
    found_packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    # This repository's own packages are on no index: `-e ./client`.
    packages = [package for package in found_packages if not package["name"].startswith("-e ")]
    # pip-audit takes a package that the service does not know for one without vulnerabilities.
    skipped = [package for package in packages if "skip_reason" in package]
    vulnerable = [package for package in packages if package.get("vulns")]
    for package in vulnerable:
        for found in package["vulns"]:
            mended = ", ".join(found["fix_versions"]) or "no version yet"
            print(f"{package['name']} {package['version']}: {found['id']}, mended in {mended}")
    if skipped or not packages:
        reason = skipped[0]["skip_reason"] if skipped else "the report names no package"
        print(f"NOT AUDITED: {len(skipped)} of {len(packages)} packages, for example: {reason}")
    audited = len(packages) - len(skipped)
    print(f"Vulnerable: {len(vulnerable)} of {audited} audited packages")
    return int(bool(vulnerable) or (required and (bool(skipped) or not packages)))


if __name__ == "__main__":
    main()

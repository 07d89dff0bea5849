"""The client's package, built of its sources in `client/`, as `pip wheel ./client` builds it.

A workstation has no checkout: it installs the client from the server that it will speak to, in the version that fits.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hatchling.builders.plugin.interface import BuilderInterface

    Builder = BuilderInterface[Any, Any]

# The kind of each file by how its name ends.
KINDS: Mapping[str, str] = {".whl": "application/octet-stream", ".tar.gz": "application/gzip"}


class NoSourcesError(Exception):
    """This server was installed without the folder of the client's sources."""


@dataclass(frozen=True)
class File:
    """A file of the package: pip installs either.

    Args:
        name: with the version in it, as pip wants it.
        content: the same bytes from every build of the same sources.
    """

    name: str
    content: bytes

    @property
    def kind(self) -> str:
        """The media type."""
        return next(kind for end, kind in KINDS.items() if self.name.endswith(end))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Package:
    """The client's package.

    Args:
        wheel: what pip installs as it is.
        sources: from which pip builds a wheel; for addresses that end with no file name.
        requires_python: the versions of Python that it runs on, as `>=3.9`.
    """

    wheel: File
    sources: File
    requires_python: str


@cache
def build(folder: Path) -> Package:
    """Build the package, in a tenth of a second and without network; keep it for this process's life.

    The builder is that of the client's `pyproject.toml`. Its builds are reproducible: every server has the same bytes.

    Args:
        folder: with the client's `pyproject.toml`.

    Raises:
        NoSourcesError: there is none.
    """
    if not (folder / "pyproject.toml").is_file():
        raise NoSourcesError
    # Here, as most processes build nothing.
    from hatchling.builders.sdist import SdistBuilder
    from hatchling.builders.wheel import WheelBuilder

    wheel = WheelBuilder(str(folder))
    return Package(
        _built(wheel), _built(SdistBuilder(str(folder))), wheel.metadata.core.requires_python
    )


def _built(builder: "Builder") -> File:
    with TemporaryDirectory() as made:
        (path,) = map(Path, builder.build(directory=made, versions=["standard"]))
        return File(path.name, path.read_bytes())

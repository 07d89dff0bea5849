"""What tests make for a while."""

from types import TracebackType
from typing import Self


class Temporary:
    """Something that is made at the beginning of a block and removed at its end, and where making it fails."""

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    def _make(self) -> None:
        raise NotImplementedError

    def _remove(self) -> None:
        """Remove as much of it as is there."""
        raise NotImplementedError

"""A connection without a kernel."""

from twisted.internet.testing import StringTransport


class Transport(StringTransport):
    """Keeps what is written, as the kernel would take it, and how its own side was ended."""

    connected = True
    # What the kernel has not taken.
    dataBuffer = b""
    offset = _tempDataLen = 0
    producerPaused = False
    ended = False
    aborted = False

    def loseWriteConnection(self) -> None:
        self.ended = True

    def abortConnection(self) -> None:
        self.aborted = True

    @property
    def is_closing(self) -> bool:
        """Whether a real one would read no more."""
        return self.disconnecting or self.aborted

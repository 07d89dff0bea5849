"""Detects, with the process's monotonic clock, that the database's clock went back. `housekeeping` asks at each
beat."""


class DatabaseClock:
    """Compares what the database says the time is, at one beat and at the next."""

    def __init__(self) -> None:
        self._least: float | None = None

    def note(self, seconds: float, asked: float, answered: float) -> float:
        """Note what the database's clock showed at some moment in between.

        Args:
            seconds: what it showed.
            asked: when it was asked, by a clock that only grows.
            answered: when the answer had come.

        Returns:
            By how many seconds it has gone back since it was noted last, at least; 0 if it need not have.
        """
        most = seconds - asked
        back = 0.0 if self._least is None else max(0.0, self._least - most)
        self._least = seconds - answered
        return back

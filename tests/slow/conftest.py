"""Real processes, as the process tests start them."""

from tests.processes.conftest import processes, runsweeper, serve

__all__ = ["processes", "runsweeper", "serve"]

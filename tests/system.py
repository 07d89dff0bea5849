"""What Linux tells of processes."""

from pathlib import Path


def is_running(pid: int) -> bool:
    """Say whether a process runs; one that has ended may not have been reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def megabytes(pid: int, what: str = "VmRSS") -> float:
    """Return how much memory a process has, or with `VmHWM` the most that it has had."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith(what)).split()[1]) / 1024


def waits_to_write(pid: int) -> bool:
    """Say whether a process waits because a pipe that it writes to is full."""
    return "pipe_write" in Path(f"/proc/{pid}/wchan").read_text()

"""Word to the service manager that has started a process: systemd, with `Type=notify` (see sd_notify(3))."""

import os
import socket

VARIABLE = "NOTIFY_SOCKET"


def tell_ready() -> None:
    """Say that this process has begun its work, if it was not said before and somebody wants to know.

    Raises:
        OSError: it cannot be said; the manager would end this process some time later, without a reason.
    """
    address = os.environ.pop(VARIABLE, "")
    if not address:
        return
    if address.startswith("@"):
        # Of Linux's abstract addresses, which begin with a byte that no variable can have.
        address = f"\0{address[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto(b"READY=1", address)

"""The family and the spelling of the address that a server listens on."""

import socket
from ipaddress import IPv6Address


def open_socket(host: str) -> socket.socket:
    """Return a TCP socket for an address, not bound yet. `::` is to be reached by IPv4 too, as most people expect.

    Args:
        host: an address or a name; a name stands for an IPv4 address.
    """
    if not is_ipv6(host):
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return opened


def is_ipv6(host: str) -> bool:
    """Say whether a host is an address of IPv6."""
    return ":" in host


def shown(host: str, port: int) -> str:
    """Return address and port as they stand in a URL: of IPv6 the address is in brackets."""
    return f"[{host}]:{port}" if is_ipv6(host) else f"{host}:{port}"


def without_brackets(host: str) -> str:
    """Return an address that may be written as in a URL.

    Raises:
        ValueError: it is not one.
    """
    if not host.startswith("["):
        return host
    return str(IPv6Address(host.removeprefix("[").removesuffix("]")))

"""The path below which a proxy shows the service. A proxy may leave it in a request's address or take it away."""


def without(base: bytes, target: bytes) -> bytes:
    """Return an address as the service's applications know it.

    Args:
        base: such as b"/silo"; b"" where the service is at the top.
        target: a path, perhaps with a query, as it was received.
    """
    if not base or not target.startswith(base):
        return target
    rest = target[len(base) :]
    if rest.startswith(b"/"):
        return rest
    return b"/" + rest if rest[:1] in (b"", b"?") else target

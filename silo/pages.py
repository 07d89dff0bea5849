"""Which addresses have pages for people; all others answer programs."""

_PREFIXES = ("/admin/", "/board/", "/items/", "/workstations/", "/users/")


def is_page(path: str) -> bool:
    """Say whether an address is one of the board or of the admin site."""
    return path == "/" or path.startswith(_PREFIXES)

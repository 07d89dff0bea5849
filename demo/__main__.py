"""`python -m demo`, beside the server: waits until it is ready, and opens the shop."""

import http.client
import json
import os
import time
from http import HTTPStatus
from urllib.parse import urlsplit

from demo import surroundings

LOOK_SECONDS = 0.2


def main() -> None:
    """Open the shop as soon as the server is ready."""
    folder = surroundings.folder()
    prepared = json.loads((folder / "shop.json").read_text(encoding="utf-8"))
    url = surroundings.url()
    while not is_ready(url):
        time.sleep(LOOK_SECONDS)
    # Loaded while the server is not busy; the engineers, who are forked, share it.
    from demo.shop import Shop

    shop = Shop(
        url,
        prepared["engineers"],
        prepared["watcher"],
        surroundings.seed(),
        folder / "machines",
    )
    shop.run()


def is_ready(url: str) -> bool:
    """Ask the server whether it may be sent traffic."""
    server = http.client.HTTPConnection(urlsplit(url).netloc, timeout=1.0)
    try:
        server.request("GET", "/ready")
        return server.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        server.close()


if __name__ == "__main__":
    os.umask(0o077)
    main()

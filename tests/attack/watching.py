"""A watcher of all items: `watching.py URL TOKEN PREFIX`. It comes back with its cursor where its stream ends.

It prints a line of JSON for each event of an item whose part number begins with the prefix, one for each event out of
order, one for each end of its stream, and after a heartbeat how many events it has seen.
"""

import json
import sys
import time
from typing import Any

import httpx

# Between two tries, as the client of a watcher waits.
PAUSE_SECONDS = 1.0


def tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


class Watcher:
    def __init__(self, url: str, token: str, prefix: str) -> None:
        self._url = f"{url}/api/events?all=true"
        self._headers = {"Authorization": f"Bearer {token}"}
        self._prefix = prefix
        self._cursor = ""
        self._last = 0
        self._seen = 0

    def watch(self) -> None:
        """Read one stream to its end."""
        headers = self._headers | ({"Last-Event-ID": self._cursor} if self._cursor else {})
        with httpx.stream("GET", self._url, headers=headers, timeout=None) as response:
            if response.status_code != 200:
                tell(refused=response.status_code)
                return
            name, number, data = "", "", []
            for line in response.iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "id":
                    number = value
                elif field == "data":
                    data.append(value)
                elif not line and data:
                    self._take(name, number, "\n".join(data))
                    name, number, data = "", "", []

    def _take(self, name: str, number: str, data: str) -> None:
        if number:
            self._cursor = number
        if name == "heartbeat":
            tell(seen=self._seen)
        elif name in ("stream-open", "stream-reset"):
            tell(stream=name)
        else:
            self._seen += 1
            place = int(number.rpartition("-")[2])
            if place <= self._last:
                tell(disorder=number)
            self._last = place
            if f'"{self._prefix}' in data:
                told = json.loads(data)
                # The change of a line is of no session.
                if "session_id" in told and str(told["part_number"]).startswith(self._prefix):
                    tell(event=name, session=told["session_id"], reason=told.get("reason", ""))


def main(url: str, token: str, prefix: str) -> None:
    watcher = Watcher(url, token, prefix)
    while True:
        try:
            watcher.watch()
            tell(ended="closed")
        except httpx.TransportError as error:
            tell(ended=str(error))
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])

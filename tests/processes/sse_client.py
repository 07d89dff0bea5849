"""An SSE client as a process: `-m tests.processes.sse_client URL TOKEN LAST_EVENT_ID`.

It prints each event as one line of JSON.
"""

import json
import sys

import httpx

from tests.sse import events


def main() -> None:
    url, token, last_event_id = sys.argv[1:]
    headers = {"Authorization": f"Bearer {token}"}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    with httpx.stream("GET", url, headers=headers, timeout=None) as response:
        if response.status_code != 200:
            print(json.dumps({"event": "refused", "id": "", "data": json.loads(response.read())}))
            return
        for event in events(response.iter_lines()):
            told = {"event": event.name, "id": event.id, "data": event.data}
            print(json.dumps(told), flush=True)
    print("closed", flush=True)


if __name__ == "__main__":
    main()

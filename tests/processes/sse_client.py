"""An SSE client as a process: `sse_client.py URL TOKEN LAST_EVENT_ID`. Prints each event as one line of JSON.

Own parsing, so that what is tested is what is on the wire.
"""

import json
import sys

import httpx


def main() -> None:
    url, token, last_event_id = sys.argv[1:]
    headers = {"Authorization": f"Bearer {token}"}
    if last_event_id:
        headers["Last-Event-ID"] = last_event_id
    with httpx.stream("GET", url, headers=headers, timeout=None) as response:
        if response.status_code != 200:
            print(json.dumps({"event": "refused", "id": "", "data": json.loads(response.read())}))
            return
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            if line.startswith(":"):
                print(json.dumps({"event": "comment", "id": "", "data": {}}), flush=True)
            elif line:
                name, _, value = line.partition(": ")
                # Long data has several lines.
                joined = "data" in fields and name == "data"
                fields[name] = f"{fields[name]}\n{value}" if joined else value
            elif fields:
                event = {
                    "event": fields.get("event", "message"),
                    "id": fields.get("id", ""),
                    "data": json.loads(fields["data"]),
                }
                print(json.dumps(event), flush=True)
                fields = {}
    print("closed", flush=True)


if __name__ == "__main__":
    main()

"""A client that answers each heartbeat: `answering_client.py URL TOKEN WORKSTATION_ID`. Prints what it does."""

import json
import sys

import httpx


def main() -> None:
    url, token, workstation = sys.argv[1:]
    headers = {"Authorization": f"Bearer {token}"}
    query = {"workstation_id": workstation, "ack": "true"}
    alive = f"{url}/api/workstations/{workstation}/alive"
    body = {}
    with httpx.stream(
        "GET", f"{url}/api/events", params=query, headers=headers, timeout=None
    ) as stream:
        for line in stream.iter_lines():
            if '"connection_id"' in line:
                body["connection_id"] = json.loads(line.removeprefix("data: "))["connection_id"]
            elif line == "event: heartbeat":
                try:
                    answer = httpx.post(alive, headers=headers, json=body, timeout=2)
                    print("answered" if answer.status_code == 204 else answer.text, flush=True)
                except httpx.TransportError as error:
                    print(f"not answered: {error}", flush=True)
    print("closed", flush=True)


if __name__ == "__main__":
    main()

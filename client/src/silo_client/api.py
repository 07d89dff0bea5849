"""The calls of the API, one request each. Every refusal is an exception of `errors.py`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from silo_client.data import Wanted
from silo_client.errors import ClosedError, ServerUnavailableError, refusal
from silo_client.forking import Owner
from silo_client.network import wrong_address
from silo_client.network.address import check_token, check_url
from silo_client.network.bounded import bound
from silo_client.network.requests import (
    CONNECT_SECONDS,
    PAGE,
    RELEASED_AT_ONCE,
    headers,
    machine_header,
    part_path,
)
from silo_client.network.route import UNREACHED, route_to
from silo_client.network.time_limit import deadline, left, until

# An answer takes milliseconds; a request that takes longer is sent again. The largest batch takes seconds.
ANSWER_SECONDS = 10.0
BATCH_SECONDS = 30.0
# A page of a list is the largest answer, and a line may be slow.
PAGE_SECONDS = 60.0
FOREVER = float("inf")
# The server, or a proxy for it, cannot serve now.
UNAVAILABLE = frozenset({429, 502, 503, 504})
RETRY_SECONDS = 0.5

Json = dict[str, Any]


class Api:
    """The calls of a server's API.

    Args:
        url: the server's address.
        token: a bearer token.
        ca_file: the certificates to trust, in a PEM file; the usual ones without it.
        patience: seconds within which each call returns or raises, a list of many pages included. A limit of the
            thread, by `within` or the `patience` of a workstation's call, holds in its place.

    Raises:
        ConfigurationError: the URL, the token or the CA file is invalid.
    """

    def __init__(
        self, url: str, token: str, ca_file: str | None = None, patience: float = FOREVER
    ) -> None:
        self.url = check_url(url)
        self.token = check_token(token)
        self.ca_file = ca_file
        self._patience = patience
        self._closed = False
        self._route = route_to(self.url, ca_file)
        self._running = ""
        # A forked child keeps its parent's: nothing of them may be closed.
        self._clients: list[httpx.Client] = []
        self._owner = Owner()
        self._http = self._client()

    def close(self) -> None:
        """Close the connections; later calls raise `ClosedError`. A forked child leaves its parent's open."""
        self._closed = True
        if self._owner.is_here:
            self._http.close()

    def _client(self) -> httpx.Client:
        client = bound(
            httpx.Client(
                base_url=self.url,
                headers=headers(self.token) | machine_header(self._running),
                **self._route.options,
            )
        )
        self._clients.append(client)
        return client

    def _own(self) -> httpx.Client:
        """Return this process's connections: two processes that share one would read each other's answers."""
        if not self._owner.is_here:
            # In this order: another thread sees the child's connections, or makes some.
            self._http = self._client()
            self._owner = Owner()
        return self._http

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Any = None,
        seconds: float = ANSWER_SECONDS,
        whole: float | None = None,
    ) -> httpx.Response:
        """Send one request, and wait for its answer.

        Args:
            method, path, body, params: the request.
            seconds: how long to wait for the whole answer or, where `whole` is given, for each piece of it.
            whole: how long to wait for the whole answer.

        Raises:
            ClosedError: `close` was called.
            ServerUnavailableError: there was no answer, or the server cannot serve now. Whether it has carried out the
                request is not known.
            ApiError: the server has refused the request.
        """
        if self._closed:
            raise ClosedError("The workstation was closed.")
        try:
            with until(time.monotonic() + min(whole or seconds, self._most())):
                answer = self._own().request(
                    method, path, json=body, params=params, timeout=_timeout(left(seconds))
                )
        except UNREACHED as error:
            raise self._unreached(error) from error
        except RuntimeError as error:
            # httpx raises this where the client was closed meanwhile.
            if self._closed:
                raise ClosedError("The workstation was closed.") from error
            raise
        if answer.status_code in UNAVAILABLE:
            raise self._unavailable(f"cannot serve now ({answer.status_code})")
        if answer.status_code == 407:
            raise self._not_reached(wrong_address.PROXY_WANTS_A_LOG_IN)
        if answer.status_code >= 300:
            refused = refusal(answer.status_code, _json(answer))
            message = refused.message if refused else ""
            if wrong := wrong_address.of_answer(httpx.URL(self.url), answer, message):
                raise self._unavailable(wrong)
            if refused:
                raise refused
            raise self._unavailable(f"did not answer like a Silo server ({answer.status_code})")
        return answer

    def _most(self) -> float:
        """Return the seconds of a call where its thread has no limit."""
        return self._patience if deadline() == FOREVER else FOREVER

    def _unreached(self, error: Exception) -> ServerUnavailableError:
        if wrong := wrong_address.of_error(httpx.URL(self.url), error):
            return self._unavailable(wrong)
        why = str(error) or type(error).__name__
        if isinstance(error, httpx.ProxyError) and why.startswith("407"):
            why = wrong_address.PROXY_WANTS_A_LOG_IN
        return self._not_reached(why)

    def _not_reached(self, why: str) -> ServerUnavailableError:
        could_not = "could not be reached" if self._route.proxy else "cannot be reached"
        return ServerUnavailableError(f"{self.url} {could_not}{self._route.through}: {why}")

    def _unavailable(self, what: str) -> ServerUnavailableError:
        # A proxy may have said so.
        asked = f"; it was asked{self._route.through}" if self._route.proxy else ""
        return ServerUnavailableError(f"{self.url} {what}{asked}.")

    def insist(self, deadline: float, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send an idempotent request until it is answered or `time.monotonic` is at the deadline."""
        while True:
            try:
                with until(deadline):
                    return self.call(method, path, body)
            except ServerUnavailableError:
                if time.monotonic() + RETRY_SECONDS > deadline:
                    raise
                time.sleep(RETRY_SECONDS)

    def pages(
        self, path: str, members: str, cursor: str, params: Json, most: int | None = None
    ) -> Json:
        """Read a list, page by page.

        Args:
            path: the list's path.
            members: the list's name in the answer.
            cursor: the parameter that names the next page.
            params: further parameters of the request.
            most: how many members to read; None for all.

        Returns:
            The first page, with the members of all of them; `next` is None where there are no more.
        """
        first: Json = {}
        found: list[Any] = []
        following: Any = None
        if most == 0:
            return {members: found, "next": None}
        with until(time.monotonic() + self._most()):
            while True:
                asked = params | {"limit": PAGE if most is None else min(PAGE, most - len(found))}
                if following is not None:
                    asked[cursor] = following
                answer = self.call("GET", path, params=asked, whole=PAGE_SECONDS)
                page = _object(answer, members)
                first = first or page
                found += page[members]
                # An older server has no pages of some lists.
                following = page.get("next")
                if following is None or (most is not None and len(found) >= most):
                    return {**first, members: found, "next": following}

    # -- workstations --

    def register(self, name: str, fingerprint: str, deadline: float, running: str = "") -> Json:
        """Register a workstation; return it.

        Args:
            name: the name that people see.
            fingerprint: identifies the workstation.
            deadline: when `time.monotonic` is there, no further try is made.
            running: the name of this running machine, which all later requests carry.
        """
        self._running = running
        self._own().headers.update(machine_header(running))
        body = {"name": name, "fingerprint": fingerprint}
        return _object(self.insist(deadline, "POST", "/api/workstations", body), "id")

    def workstations(self) -> list[Json]:
        """Return the caller's own workstations."""
        return list(self.pages("/api/workstations", "workstations", "after", {})["workstations"])

    def alive(
        self,
        workstation_id: str,
        connection_id: str | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        """Send an alive request, with the seconds since the workstation was touched, where that is known."""
        body = {"connection_id": connection_id, "idle_seconds": idle_seconds}
        self.call("POST", f"/api/workstations/{workstation_id}/alive", body)

    def release_all(self, workstation_id: str) -> int:
        """Release all sessions of a workstation; return their number."""
        answer = self.call("DELETE", f"/api/workstations/{workstation_id}/edit-sessions")
        return int(_object(answer)["released"])

    def delete_workstation(self, workstation_id: str) -> None:
        """Delete a workstation; its sessions are released."""
        self.call("DELETE", f"/api/workstations/{workstation_id}")

    # -- sessions --

    def acquire(self, wanted: Wanted, workstation_id: str, connection_id: str | None) -> Json:
        """Acquire a session; return it, or the existing one of this workstation."""
        body = wanted.body() | _caller(workstation_id, connection_id)
        return _object(self.call("POST", part_path(wanted.part_number, "edit-sessions"), body))

    def acquire_batch(
        self, wanted: Sequence[Wanted], workstation_id: str, connection_id: str | None
    ) -> list[Json]:
        """Acquire many sessions, all or nothing; return them in the order asked."""
        sessions = [{"part_number": one.part_number, **one.body()} for one in wanted]
        body = _caller(workstation_id, connection_id) | {"sessions": sessions}
        answer = self.call("POST", "/api/edit-sessions/batch", body, seconds=BATCH_SECONDS)
        return list(_object(answer)["sessions"])

    def release(self, part_number: str, session_id: str) -> None:
        """Release an own session."""
        self.call("DELETE", part_path(part_number, "edit-sessions", session_id))

    def release_many(self, session_ids: Sequence[str]) -> int:
        """Release own sessions; return how many were still there.

        The server does so in steps, each of which it commits: after an error some may have been released.
        """
        released = 0
        for first in range(0, len(session_ids), RELEASED_AT_ONCE):
            body = {"session_ids": list(session_ids[first : first + RELEASED_AT_ONCE])}
            answer = self.call("POST", "/api/edit-sessions/release", body, seconds=BATCH_SECONDS)
            released += int(_object(answer)["released"])
        return released

    def force_release(self, part_number: str, session_id: str, reason: str) -> None:
        """End another user's session; the reason is recorded, and shown to the holder. For admins."""
        path = part_path(part_number, "edit-sessions", session_id, "force-release")
        self.call("DELETE", path, {"reason": reason})

    def take_over(
        self,
        part_number: str,
        session_id: str,
        reason: str,
        workstation_id: str,
        connection_id: str | None = None,
    ) -> Json:
        """Force-release a session and begin an own one in its place, ahead of the line; return that. For admins."""
        path = part_path(part_number, "edit-sessions", session_id, "force-release")
        body = {"reason": reason, "take": True} | _caller(workstation_id, connection_id)
        return _object(self.call("DELETE", path, body))

    def verify(self, part_number: str, session_id: str, fencing_token: int) -> Json:
        """Check that a session is live with this fencing token; return its holder."""
        path = part_path(part_number, "edit-sessions", session_id, "verify")
        return _object(self.call("POST", path, {"fencing_token": fencing_token}))

    def sessions_of(self, part_number: str) -> Json:
        """Return the sessions on an item, and the cursor of the events after them."""
        return self.pages(part_path(part_number, "edit-sessions"), "sessions", "after", {})

    def in_use(self, part_numbers: Sequence[str]) -> Json:
        """Return who holds and who waits for up to 1,000 items at one moment, and the cursor of the events after it."""
        body = {"items": list(part_numbers)}
        return _object(self.call("POST", "/api/edit-sessions/in-use", body), "items", "cursor")

    def sessions(self, **filters: Any) -> tuple[list[Json], str]:
        """Return the sessions of all pages, and the cursor of the first page."""
        answer = self.pages("/api/edit-sessions", "sessions", "after", filters)
        return list(answer["sessions"]), str(answer["cursor"])

    def history(self, limit: int | None = 100, **filters: Any) -> list[Json]:
        """Return ended sessions, the latest first: at most `limit`, or all where it is None."""
        path = "/api/edit-sessions/history"
        return list(self.pages(path, "history", "before", filters, limit)["history"])

    # -- items --

    def items(self, search: str = "", limit: int | None = 100) -> list[Json]:
        """Return items with this text in number or description: at most `limit`, or all where it is None."""
        return list(self.pages("/api/items", "items", "after", {"search": search}, limit)["items"])

    def create_item(self, part_number: str, description: str = "", item_type: str = "") -> Json:
        """Create an item; return it."""
        body = {"part_number": part_number, "description": description, "item_type": item_type}
        return _object(self.call("POST", "/api/items", body))

    def rename_item(self, part_number: str, new: str) -> Json:
        """Change an item's part number, or its spelling; return the item. For admins."""
        return _object(self.call("POST", part_path(part_number, "rename"), {"part_number": new}))

    def retire_item(self, part_number: str) -> Json:
        """Retire an item, so that nothing new begins on it; return it. For admins."""
        return _object(self.call("POST", part_path(part_number, "retire")))

    def restore_item(self, part_number: str) -> Json:
        """Restore a retired item; return it. For admins."""
        return _object(self.call("POST", part_path(part_number, "restore")))

    # -- line and hand-off --

    def stand(self, wanted: Wanted, workstation_id: str, connection_id: str | None) -> Json:
        """Stand in line; return the place (it has a `position`), or the session where the lock is free."""
        body = wanted.body() | _caller(workstation_id, connection_id)
        path = part_path(wanted.part_number, "edit-session-requests")
        return _object(self.call("POST", path, body))

    def line(self, part_number: str) -> list[Json]:
        """Return the places in all lines of an item."""
        path = part_path(part_number, "edit-session-requests")
        return list(self.pages(path, "requests", "after", {})["requests"])

    def leave_line(self, part_number: str, request_id: str) -> None:
        """Leave the line."""
        self.call("DELETE", part_path(part_number, "edit-session-requests", request_id))

    def request_handoff(
        self, part_number: str, session_id: str, message: str, workstation_id: str | None = None
    ) -> None:
        """Ask the holder of a session for a hand-off."""
        body = {"message": message}
        if workstation_id:
            body["workstation_id"] = workstation_id
        path = part_path(part_number, "edit-sessions", session_id, "request-handoff")
        self.call("POST", path, body)

    def hand_off(self, part_number: str, session_id: str, to_workstation_id: str) -> Json:
        """Hand a session over; return the new session of the other workstation."""
        path = part_path(part_number, "edit-sessions", session_id, "handoff")
        return _object(self.call("POST", path, {"to_workstation_id": to_workstation_id}))


def _caller(workstation_id: str, connection_id: str | None) -> Json:
    caller = {"workstation_id": workstation_id}
    if connection_id:
        caller["connection_id"] = connection_id
    return caller


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=CONNECT_SECONDS)


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _object(answer: httpx.Response, *members: str) -> Json:
    body = _json(answer)
    if not isinstance(body, Mapping) or not body.keys() >= set(members):
        raise ServerUnavailableError(f"{answer.url} did not answer like a Silo server.")
    return dict(body)

"""One request each. Every refusal is an exception of `errors.py`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from silo_client.data import Wanted
from silo_client.errors import ClosedError, ServerUnavailableError, refusal
from silo_client.forking import Owner
from silo_client.network.address import check_token, check_url
from silo_client.network.route import UNREACHED, way_to
from silo_client.version import __version__

CONNECT_SECONDS = 5.0
# An answer takes milliseconds; what takes longer is asked again. The largest batch takes seconds, on a busy server.
ANSWER_SECONDS = 10.0
BATCH_SECONDS = 30.0
# The most that a server gives in a page.
PAGE = 1000
# The server, or a proxy for it, says "not now".
UNAVAILABLE = frozenset({429, 502, 503, 504})
RETRY_SECONDS = 0.5

Json = dict[str, Any]


def headers(token: str) -> dict[str, str]:
    """Return the headers of every request."""
    return {"Authorization": f"Bearer {token}", "User-Agent": f"silo-client/{__version__}"}


def machine_header(running: str) -> dict[str, str]:
    """Return the header that names the running machine, where there is a name. An older server ignores it."""
    return {"Silo-Machine": running} if running else {}


def part_path(part_number: str, *more: str) -> str:
    """Return the path of what belongs to an item; its slashes are not the path's."""
    return "/".join(["/api/items", quote(part_number, safe=""), *more])


class Api:
    """The calls of a server's API.

    Args:
        url: the server's address.
        token: a bearer token.
        ca_file: the certificates to trust, in a PEM file; the usual ones without it.

    Raises:
        ConfigurationError: one of them is none.
    """

    def __init__(self, url: str, token: str, ca_file: str | None = None) -> None:
        self.url = check_url(url)
        self.token = check_token(token)
        self.ca_file = ca_file
        self._closed = False
        self._way = way_to(self.url, ca_file)
        self._running = ""
        # Those of a parent are kept, as nothing of theirs may be closed.
        self._clients: list[httpx.Client] = []
        self._owner = Owner()
        self._http = self._client()

    def close(self) -> None:
        """Close its connections; what is called from then on is refused. A forked child leaves its parent's open."""
        self._closed = True
        if self._owner.is_here:
            self._http.close()

    def _client(self) -> httpx.Client:
        client = httpx.Client(
            base_url=self.url,
            headers=headers(self.token) | machine_header(self._running),
            **self._way.options,
        )
        self._clients.append(client)
        return client

    def _own(self) -> httpx.Client:
        """Return this process's connections: two that share one would read each other's answers."""
        if not self._owner.is_here:
            # In this order: another thread sees connections of its own, or makes some.
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
    ) -> httpx.Response:
        """Send one request, and wait so long for its answer.

        Raises:
            ClosedError: `close` was called.
            ServerUnavailableError: there was no answer, or one that says "not now". Whether the server has done what
                was asked is not known.
            ApiError: the server has refused it.
        """
        if self._closed:
            raise ClosedError("The workstation was closed.")
        try:
            answer = self._own().request(
                method, path, json=body, params=params, timeout=_timeout(seconds)
            )
        except UNREACHED as error:
            raise self._unreached(error) from error
        except RuntimeError as error:
            # httpx says so of a client that was closed meanwhile.
            if self._closed:
                raise ClosedError("The workstation was closed.") from error
            raise
        if answer.status_code in UNAVAILABLE:
            raise self._unavailable(f"cannot serve now ({answer.status_code})")
        if answer.status_code >= 400:
            if refused := refusal(answer.status_code, _json(answer)):
                raise refused
            raise self._unavailable(f"did not answer as a Silo server does ({answer.status_code})")
        return answer

    def _unreached(self, error: Exception) -> ServerUnavailableError:
        why = str(error) or type(error).__name__
        could_not = "could not be reached" if self._way.proxy else "cannot be reached"
        return ServerUnavailableError(f"{self.url} {could_not}{self._way.through}: {why}")

    def _unavailable(self, what: str) -> ServerUnavailableError:
        # A proxy may have said so.
        asked = f"; it was asked{self._way.through}" if self._way.proxy else ""
        return ServerUnavailableError(f"{self.url} {what}{asked}.")

    def insist(self, deadline: float, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send a request that may be repeated, until it is answered or `time.monotonic` is at the deadline."""
        while True:
            try:
                return self.call(method, path, body)
            except ServerUnavailableError:
                if time.monotonic() + RETRY_SECONDS > deadline:
                    raise
                time.sleep(RETRY_SECONDS)

    def pages(
        self, path: str, members: str, cursor: str, params: Json, most: int | None = None
    ) -> Json:
        """Read a list that comes in pages.

        Args:
            path: of the list.
            members: the list's name in the answer.
            cursor: the parameter that names the next page.
            params: of the request.
            most: how many to read; None for all.

        Returns:
            The answer as if it had come in one page, with the further members of the first one; `next` is None where
            that was all.
        """
        first: Json = {}
        found: list[Any] = []
        following: Any = None
        if most == 0:
            return {members: found, "next": None}
        while True:
            asked = params | {"limit": PAGE if most is None else min(PAGE, most - len(found))}
            if following is not None:
                asked[cursor] = following
            page = _object(self.call("GET", path, params=asked), members)
            first = first or page
            found += page[members]
            # An older server has no pages of some lists.
            following = page.get("next")
            if following is None or (most is not None and len(found) >= most):
                return {**first, members: found, "next": following}

    # -- workstations --

    def register(self, name: str, fingerprint: str, deadline: float, running: str = "") -> Json:
        """Make a workstation known; return it.

        Args:
            name: what people see.
            fingerprint: which one it is.
            deadline: by `time.monotonic`, of trying.
            running: the name of this running machine, which is told with all requests from now on.
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
        """Give a sign of life; say for how many seconds nobody has touched the workstation, if that is known."""
        body = {"connection_id": connection_id, "idle_seconds": idle_seconds}
        self.call("POST", f"/api/workstations/{workstation_id}/alive", body)

    def release_all(self, workstation_id: str) -> int:
        """Release everything that a workstation holds; return how many sessions that was."""
        answer = self.call("DELETE", f"/api/workstations/{workstation_id}/edit-sessions")
        return int(_object(answer)["released"])

    def delete_workstation(self, workstation_id: str) -> None:
        """Delete a workstation; what it holds is released."""
        self.call("DELETE", f"/api/workstations/{workstation_id}")

    # -- sessions --

    def acquire(self, wanted: Wanted, workstation_id: str, connection_id: str | None) -> Json:
        """Acquire a session, or get back the one that this workstation has."""
        body = wanted.body() | _caller(workstation_id, connection_id)
        return _object(self.call("POST", part_path(wanted.part_number, "edit-sessions"), body))

    def acquire_batch(
        self, wanted: Sequence[Wanted], workstation_id: str, connection_id: str | None
    ) -> list[Json]:
        """Acquire many, all or nothing; return them in the order asked."""
        sessions = [{"part_number": one.part_number, **one.body()} for one in wanted]
        body = _caller(workstation_id, connection_id) | {"sessions": sessions}
        answer = self.call("POST", "/api/edit-sessions/batch", body, seconds=BATCH_SECONDS)
        return list(_object(answer)["sessions"])

    def release(self, part_number: str, session_id: str) -> None:
        """Release a session of one's own."""
        self.call("DELETE", part_path(part_number, "edit-sessions", session_id))

    def release_many(self, session_ids: Sequence[str]) -> int:
        """Release up to 1,000 sessions of one's own; return how many were still there.

        The server does so in steps that are each committed: after an error a part may have been released.
        """
        body = {"session_ids": list(session_ids)}
        answer = self.call("POST", "/api/edit-sessions/release", body, seconds=BATCH_SECONDS)
        return int(_object(answer)["released"])

    def force_release(
        self,
        part_number: str,
        session_id: str,
        reason: str,
        *,
        take: str | None = None,
        connection_id: str | None = None,
    ) -> Json | None:
        """End somebody's session.

        Args:
            part_number: the item's.
            session_id: the session.
            reason: why; it is kept.
            take: the id of one's own workstation that is to get it at once, ahead of the line.
            connection_id: with `take`, the stream that the workstation has open.

        Returns:
            With `take` the new session, as an acquire answers it.
        """
        path = part_path(part_number, "edit-sessions", session_id, "force-release")
        body: dict[str, Any] = {"reason": reason}
        if take is None:
            self.call("DELETE", path, body)
            return None
        body |= _caller(take, connection_id) | {"take": True}
        return _object(self.call("DELETE", path, body))

    def take_over(
        self,
        part_number: str,
        session_id: str,
        reason: str,
        workstation_id: str,
        connection_id: str | None = None,
    ) -> Json:
        """End somebody's session and begin one's own in its place, ahead of the line; return that. For admins."""
        path = part_path(part_number, "edit-sessions", session_id, "force-release")
        body = {"reason": reason, "take": True} | _caller(workstation_id, connection_id)
        return _object(self.call("DELETE", path, body))

    def verify(self, part_number: str, session_id: str, fencing_token: int) -> Json:
        """Say whose a live session with this token is."""
        path = part_path(part_number, "edit-sessions", session_id, "verify")
        return _object(self.call("POST", path, {"fencing_token": fencing_token}))

    def sessions_of(self, part_number: str) -> Json:
        """Return the sessions on an item, and the cursor from which to go on."""
        return self.pages(part_path(part_number, "edit-sessions"), "sessions", "after", {})

    def sessions(self, **filters: Any) -> tuple[list[Json], str]:
        """Return sessions, all pages of them, and the cursor of the first page."""
        told = self.pages("/api/edit-sessions", "sessions", "after", filters)
        return list(told["sessions"]), str(told["cursor"])

    def history(self, limit: int | None = 100, **filters: Any) -> list[Json]:
        """Return ended sessions, the latest first: at most `limit`, None for all."""
        path = "/api/edit-sessions/history"
        return list(self.pages(path, "history", "before", filters, limit)["history"])

    # -- items --

    def items(self, search: str = "", limit: int | None = 100) -> list[Json]:
        """Return items whose number or description has this text: at most `limit`, None for all."""
        return list(self.pages("/api/items", "items", "after", {"search": search}, limit)["items"])

    def create_item(self, part_number: str, description: str = "", item_type: str = "") -> Json:
        """Make an item known; return it."""
        body = {"part_number": part_number, "description": description, "item_type": item_type}
        return _object(self.call("POST", "/api/items", body))

    def rename_item(self, part_number: str, new: str) -> Json:
        """Give an item another part number, or another spelling; return it. For admins."""
        return _object(self.call("POST", part_path(part_number, "rename"), {"part_number": new}))

    def retire_item(self, part_number: str) -> Json:
        """Have nothing new begun on an item; return it. For admins."""
        return _object(self.call("POST", part_path(part_number, "retire")))

    def restore_item(self, part_number: str) -> Json:
        """Have a retired item be edited again; return it. For admins."""
        return _object(self.call("POST", part_path(part_number, "restore")))

    # -- line and hand-off --

    def stand(self, wanted: Wanted, workstation_id: str, connection_id: str | None) -> Json:
        """Stand in line; return the place (it has a `position`), or the session where it is free."""
        body = wanted.body() | _caller(workstation_id, connection_id)
        path = part_path(wanted.part_number, "edit-session-requests")
        return _object(self.call("POST", path, body))

    def line(self, part_number: str) -> list[Json]:
        """Return who stands in line on an item."""
        path = part_path(part_number, "edit-session-requests")
        return list(self.pages(path, "requests", "after", {})["requests"])

    def leave_line(self, part_number: str, request_id: str) -> None:
        """Give a place in line up."""
        self.call("DELETE", part_path(part_number, "edit-session-requests", request_id))

    def request_handoff(
        self, part_number: str, session_id: str, message: str, workstation_id: str | None = None
    ) -> None:
        """Tell the holder of a session who would like to have it."""
        body = {"message": message}
        if workstation_id:
            body["workstation_id"] = workstation_id
        path = part_path(part_number, "edit-sessions", session_id, "request-handoff")
        self.call("POST", path, body)

    def hand_off(self, part_number: str, session_id: str, to_workstation_id: str) -> Json:
        """Hand a session over; return the other workstation's new one."""
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
        raise ServerUnavailableError(f"{answer.url} did not answer as a Silo server does.")
    return dict(body)

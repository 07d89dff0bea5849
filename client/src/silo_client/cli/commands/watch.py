"""`silo watch`: present sessions, live."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Annotated, Any, Optional

import httpx
import typer
from httpx_sse import ServerSentEvent
from rich.live import Live

from silo_client.api import Api
from silo_client.cli.board import Board, clock_time, sentence
from silo_client.cli.connection import about, connected
from silo_client.cli.options import complete_part
from silo_client.cli.output import out, say, write, write_json
from silo_client.errors import ServerUnavailableError, SiloError
from silo_client.helper.event_stream import LONGEST_PAUSE_SECONDS, EventStream, Unavailable, pause
from silo_client.network.requests import CONNECT_SECONDS, headers
from silo_client.network.route import route_to

# The times in the table grow by the second at most.
REDRAWS_PER_SECOND = 4

Show = Callable[[str, str, dict[str, Any]], None]


def watch(
    parts: Annotated[
        Optional[list[str]],
        typer.Argument(
            metavar="PART",
            help="The part numbers; by default all parts.",
            show_default=False,
            autocompletion=complete_part,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print the API's events, one JSON object with event, id and data per line. The first one, and one"
            " wherever events were missed, is the event sessions with the lists.",
        ),
    ] = False,
) -> None:
    """Show who edits what, live, until Ctrl-C.

    On a terminal, the command shows a table; elsewhere, it prints a line for each event.
    """
    watched = list(parts or ())
    board = Board(", ".join(watched) if watched else "All parts")
    table = out.is_terminal and not as_json
    live = Live(
        get_renderable=lambda: board,
        console=out,
        refresh_per_second=REDRAWS_PER_SECOND,
        vertical_overflow="ellipsis",
    )
    with connected() as api:
        watching = Watching(api, watched, board, _json if as_json else None if table else _line)
        with about(watched[0] if len(watched) == 1 else None):
            watching.begin()
        with live if table else nullcontext():
            asyncio.run(watching.follow())


def _json(event: str, event_id: str, data: dict[str, Any]) -> None:
    write_json({"event": event, "id": event_id, "data": data}, indent=None)


def _line(event: str, event_id: str, data: dict[str, Any]) -> None:
    if event == "sessions":
        for session in data["sessions"]:
            write(clock_time(session), sentence("edit.session_acquired", session))
    elif "session_id" in data or event == "edit.line_changed":
        write(clock_time(data), sentence(event, data))


class Watching:
    """Reads the lists, follows the events after them, and reads the lists again where events were missed.

    Args:
        api: the server.
        parts: the part numbers; none for all parts.
        board: the table that is kept up to date.
        show: called with the name, id and data of each event, and with `sessions` and a list.
    """

    def __init__(self, api: Api, parts: Sequence[str], board: Board, show: Optional[Show]) -> None:
        self._api = api
        self._parts = parts
        self._board = board
        self._show = show
        self._position = ""
        # The JSON is the API's, with nothing added.
        self._raw = show is _json
        # Conflicts of sessions whose events are still to come.
        self._marked: dict[str, dict[str, Any]] = {}

    def begin(self) -> None:
        """Read the lists, and the cursor from which to go on.

        Raises:
            ServerUnavailableError, ApiError: the server does not answer, or refuses.
        """
        self._position = self._read_lists()

    def _read_lists(self) -> str:
        """Read the lists; return the cursor from which to go on."""
        listed: list[dict[str, Any]] = []
        cursors: list[str] = []
        for part in self._parts:
            page = self._api.sessions_of(part)
            listed += page["sessions"]
            cursors.append(page["cursor"])
        if not self._parts:
            listed, cursor = self._api.sessions(all="true")
            cursors.append(cursor)
        # The first cursor is the earliest: some events repeat what the later lists know.
        self._board.fill(listed)
        self._call_show("sessions", cursors[0], {"sessions": listed, "cursor": cursors[0]})
        return cursors[0]

    async def follow(self) -> None:
        """Follow the events for ever, over as many streams as it takes.

        Raises:
            ApiError: the server refuses.
        """
        news: asyncio.Queue[ServerSentEvent] = asyncio.Queue()
        tasks = [asyncio.create_task(self._keep(news)), asyncio.create_task(self._take(news))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _keep(self, news: "asyncio.Queue[ServerSentEvent]") -> None:
        params = [("item", part) for part in self._parts] or [("all", "true")]
        attempt = 0
        async with httpx.AsyncClient(
            base_url=self._api.url,
            headers=headers(self._api.token),
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            **route_to(self._api.url, self._api.ca_file).options,
        ) as http:
            while True:
                await asyncio.sleep(pause(attempt))
                stream = EventStream(http, params)
                try:
                    await stream.open(self._position, lambda sse: self._hear(sse, news))
                except Unavailable as error:
                    attempt += 1
                    await asyncio.sleep(min(error.retry_after, LONGEST_PAUSE_SECONDS))
                    continue
                self._say(True)
                try:
                    await stream.until_replaced()
                finally:
                    await stream.close()
                self._say(False)
                attempt = 0 if stream.was_worth_opening else attempt + 1

    def _hear(self, sse: ServerSentEvent, news: "asyncio.Queue[ServerSentEvent]") -> None:
        if sse.event != "heartbeat":
            self._position = sse.id
            news.put_nowait(sse)

    async def _take(self, news: "asyncio.Queue[ServerSentEvent]") -> None:
        """Apply events in their order; where some were missed, read the lists first."""
        while True:
            sse = await news.get()
            data = json.loads(sse.data)
            added = await self._conflicts_of(sse.event, data)
            self._call_show(sse.event, sse.id, data if self._raw else data | added)
            if sse.event == "stream-reset":
                await self._read_lists_again()
            elif sse.event != "stream-open":
                self._board.apply(sse.event, data | added)

    async def _conflicts_of(self, event: str, data: dict[str, Any]) -> dict[str, Any]:
        """Ask for the conflicts of a session that has begun, which its event does not name. Marks the others too."""
        if event != "edit.session_acquired" or data.get("interference") != "soft" or self._raw:
            return {}
        if data["session_id"] in self._marked:
            # One request is enough for many sessions that began at once.
            return self._marked.pop(data["session_id"])
        with suppress(SiloError):
            listed = await asyncio.get_running_loop().run_in_executor(
                None, self._api.sessions_of, data["part_number"]
            )
            self._board.mark(listed["sessions"])
            self._marked = {
                one["session_id"]: {"interferes_with": one.get("interferes_with")}
                for one in listed["sessions"]
            }
        return self._marked.pop(data["session_id"], {})

    async def _read_lists_again(self) -> None:
        attempt = 0
        while True:
            try:
                # The stream is already further, and goes on from there.
                await asyncio.get_running_loop().run_in_executor(None, self._read_lists)
                return
            except ServerUnavailableError:
                attempt += 1
                await asyncio.sleep(pause(attempt))

    def _call_show(self, event: str, event_id: str, data: dict[str, Any]) -> None:
        if self._show is not None:
            self._show(event, event_id, data)

    def _say(self, connected: bool) -> None:
        changed = connected != self._board.connected
        self._board.connected = connected
        if changed and self._show is not None and not connected:
            say("The connection to the server is lost; trying again.")

"""`silo watch`: what is being edited, while it changes."""

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

LOOK_SECONDS = 0.2
# A stream that has lasted for so long was worth opening.
STEADY_SECONDS = 10.0
# The times in the table grow by the second at most.
REDRAWS_PER_SECOND = 4

Show = Callable[[str, str, dict[str, Any]], None]


def watch(
    parts: Annotated[
        Optional[list[str]],
        typer.Argument(
            metavar="PART",
            help="The part numbers; every part without them.",
            show_default=False,
            autocompletion=complete_part,
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print the API's own events, one JSON object with event, id and data in a line; first, and where"
            " events were missed, one with the event sessions and the lists.",
        ),
    ] = False,
) -> None:
    """Show who edits what, while it changes, until Ctrl-C.

    On a terminal that is a table, elsewhere a line for each event.
    """
    watched = list(parts or ())
    board = Board(", ".join(watched) if watched else "All parts")
    table = out.is_terminal and not as_json
    live = Live(
        get_renderable=board.render,
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
    elif "session_id" in data:
        write(clock_time(data), sentence(event, data))


class Watching:
    """Reads the lists, follows the events after them, and reads the lists again where events were missed.

    Args:
        api: of the server.
        parts: the part numbers; none for every part.
        board: what is kept up to date.
        show: called with the name, id and data of each event, and with `sessions` and a list; None for nobody.
    """

    def __init__(self, api: Api, parts: Sequence[str], board: Board, show: Optional[Show]) -> None:
        self._api = api
        self._parts = parts
        self._board = board
        self._show = show
        self._position = ""
        # JSON is the API's own.
        self._raw = show is _json
        # Whom sessions meet that have begun, and whose events are still to come.
        self._marked: dict[str, dict[str, Any]] = {}

    def begin(self) -> None:
        """Read what is now, and from which event to go on.

        Raises:
            ServerUnavailableError, ApiError: the server does not answer, or refuses.
        """
        self._position = self._read_lists()

    def _read_lists(self) -> str:
        """Read what is now; return the event from which to go on."""
        told: list[dict[str, Any]] = []
        cursors: list[str] = []
        for part in self._parts:
            page = self._api.sessions_of(part)
            told += page["sessions"]
            cursors.append(page["cursor"])
        if not self._parts:
            told, cursor = self._api.sessions(all="true")
            cursors.append(cursor)
        # The first is the earliest: what the later lists know already, events tell once more.
        self._board.fill(told)
        self._tell("sessions", cursors[0], {"sessions": told, "cursor": cursors[0]})
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
                    await stream.open(self._position, lambda sse: self._hear(sse, news), _nothing)
                except Unavailable as error:
                    attempt += 1
                    await asyncio.sleep(min(error.retry_after, LONGEST_PAUSE_SECONDS))
                    continue
                self._say(True)
                try:
                    while not (stream.ended.is_set() or stream.why_replace()):
                        await stream.wait_for_end(LOOK_SECONDS)
                finally:
                    await stream.close()
                self._say(False)
                # What does not last is opened less and less often.
                attempt = 0 if stream.age > STEADY_SECONDS else attempt + 1

    def _hear(self, sse: ServerSentEvent, news: "asyncio.Queue[ServerSentEvent]") -> None:
        if sse.event != "heartbeat":
            self._position = sse.id
            news.put_nowait(sse)

    async def _take(self, news: "asyncio.Queue[ServerSentEvent]") -> None:
        """Take in events in their order; where some were missed, first what the lists say."""
        while True:
            sse = await news.get()
            data = json.loads(sse.data)
            met = await self._who_is_met(sse.event, data)
            self._tell(sse.event, sse.id, data if self._raw else data | met)
            if sse.event == "stream-reset":
                await self._read_lists_again()
            elif sse.event != "stream-open":
                self._board.apply(sse.event, data | met)

    async def _who_is_met(self, event: str, data: dict[str, Any]) -> dict[str, Any]:
        """Ask whom a session meets that has begun: an event to everybody does not say it. Marks the others too."""
        if event != "edit.session_acquired" or data.get("interference") != "soft" or self._raw:
            return {}
        if data["session_id"] in self._marked:
            # Many that began at once are asked about once.
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
                # The stream is further already, and goes on from where it is.
                await asyncio.get_running_loop().run_in_executor(None, self._read_lists)
                return
            except ServerUnavailableError:
                attempt += 1
                await asyncio.sleep(pause(attempt))

    def _tell(self, event: str, event_id: str, data: dict[str, Any]) -> None:
        if self._show is not None:
            self._show(event, event_id, data)

    def _say(self, connected: bool) -> None:
        changed = connected != self._board.connected
        self._board.connected = connected
        if changed and self._show is not None and not connected:
            say("The connection to the server is lost; trying again.")


def _nothing() -> None:
    """Lines prove nothing here: nothing is held."""

"""Pushpin: a proxy that holds event streams which a server behind it has allowed, fed by a POST of JSON."""

import asyncio
import uuid
from pathlib import Path

from benchmarks.apart import Apart
from benchmarks.load import Wanted
from benchmarks.peers.programs import Program
from benchmarks.processes import answers, free_port
from benchmarks.subject import Feed
from benchmarks.wire import HEAD_END, request

EVENT = 'data: "told"\n\n'
# Far more connections than any measure opens.
MOST_CONNECTIONS = 25_000
CONFIGURATION = """
[global]
include={{libdir}}/internal.conf
rundir={folder}/run
ipc_prefix=bench-
[runner]
services=condure,zurl,pushpin-proxy,pushpin-handler
http_port=127.0.0.1:{port}
logdir={folder}
client_buffer_size=8192
client_maxconn={connections}
[proxy]
routesfile={folder}/routes
zurl_out_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-in
zurl_out_stream_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-in-stream
zurl_in_specs=ipc://{{rundir}}/{{ipc_prefix}}zurl-out
updates_check=off
[handler]
push_in_spec=ipc://{{rundir}}/push-in
push_in_sub_specs=ipc://{{rundir}}/push-in-sub
command_spec=ipc://{{rundir}}/command
push_in_http_addr=127.0.0.1
push_in_http_port={publish}
message_rate=1000000
message_hwm=1000000
"""


class Origin:
    """The server behind it, which lets anybody follow the channel that is named in the path."""

    async def listen(self) -> int:
        """Listen; return the port."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Connection, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        return port


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._read = b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        while HEAD_END in self._read:
            head, _, self._read = self._read.partition(HEAD_END)
            channel = head.split(b" ", 2)[1].rpartition(b"/")[2]
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n"
                b"Grip-Hold: stream\r\nGrip-Channel: " + channel + HEAD_END
            )


class Pushpin(Program):
    """A Pushpin of its own. The server behind it is not counted."""

    name = "Pushpin"

    def __init__(self, folder: Path) -> None:
        self._origin: Apart | None = None
        self._publish = free_port()
        super().__init__(folder, "pushpin", "condure", "zurl")

    def command(self) -> list[str]:
        self._origin = Apart(Origin)
        (self.folder / "run").mkdir()
        (self.folder / "routes").write_text(f"* 127.0.0.1:{self._origin.call('listen')}\n")
        file = self.folder / "pushpin.conf"
        file.write_text(
            CONFIGURATION.format(
                folder=self.folder,
                port=self.port,
                publish=self._publish,
                connections=MOST_CONNECTIONS,
            )
        )
        return ["pushpin", "--config", str(file)]

    def is_ready(self) -> bool:
        return answers(self.port) and answers(self._publish)

    def open_many(self, count: int) -> list[Wanted]:
        return [self._stream(f"one-{number}") for number in range(count)]

    def feed(self, watchers: int, events: int) -> Feed:
        channel = uuid.uuid4().hex
        item = {"channel": channel, "formats": {"http-stream": {"content": EVENT}}}
        publish = request("POST", "/publish/", body={"items": [item]})
        return Feed([self._stream(channel)] * watchers, self._publish, [publish] * events)

    def _stream(self, channel: str) -> Wanted:
        data = request("GET", f"/watch/{channel}", more="Accept: text/event-stream\r\n")
        return Wanted(self.port, data, HEAD_END, EVENT.encode())

    def close(self) -> None:
        super().close()
        if self._origin:
            self._origin.close()

"""Very many SSE clients in one process, on plain sockets: `many_streams_client.py URL`, then commands on stdin.

Used by tests at size and by the benchmarks. Commands, each answered by one line of JSON on stdout:
  open FILE     open a stream for each line `TOKEN PATH` of the file, so many at once; answers when all have a heartbeat
  wait NAME     wait until every stream has had one more event of this name; answers with the time of each quantile
  close N       reset the first N streams (RST, as if their processes were killed)
"""

import asyncio
import json
import resource
import socket
import struct
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

OPENING_AT_ONCE = 100


class Stream:
    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.times: dict[str, float] = {}
        self.changed = asyncio.Event()
        self.writer: asyncio.StreamWriter | None = None

    async def open(self, host: str, port: int, token: str, path: str) -> None:
        reader, self.writer = await asyncio.open_connection(host, port)
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
        self.writer.write(request.encode())
        self.task = asyncio.create_task(self._read(reader))
        await self.event("heartbeat", 1)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                if line.startswith(b"event: "):
                    name = line[7:].strip().decode()
                    self.counts[name] = self.counts.get(name, 0) + 1
                    self.times[name] = time.time()
                    self.changed.set()
                elif line.startswith(b"HTTP/1.1 ") and b"200" not in line:
                    raise RuntimeError(line)
        except ConnectionError:
            pass

    async def event(self, name: str, count: int) -> None:
        while self.counts.get(name, 0) < count:
            self.changed.clear()
            await self.changed.wait()

    def reset(self) -> None:
        assert self.writer is not None
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


async def main(url: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    address = urlsplit(url)
    streams: list[Stream] = []
    gate = asyncio.Semaphore(OPENING_AT_ONCE)

    async def open_one(token: str, path: str) -> None:
        async with gate:
            stream = Stream()
            await stream.open(str(address.hostname), int(address.port or 80), token, path)
            streams.append(stream)

    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, argument = line.split()
        begun = time.time()
        answer: dict[str, float] = {}
        if command == "open":
            lines = Path(argument).read_text().splitlines()  # noqa: ASYNC240  (nothing else runs yet)
            await asyncio.gather(*(open_one(*entry.split()) for entry in lines))
        elif command == "wait":
            counts = [stream.counts.get(argument, 0) for stream in streams]
            print(json.dumps({"waiting": len(counts)}), flush=True)
            await asyncio.gather(
                *(s.event(argument, n + 1) for s, n in zip(streams, counts, strict=True))
            )
            times = sorted(stream.times[argument] for stream in streams)
            answer = {"p50": times[len(times) // 2], "worst": times[-1]}
        elif command == "close":
            for stream in streams[: int(argument)]:
                stream.reset()
            del streams[: int(argument)]
        answer["seconds"] = time.time() - begun
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

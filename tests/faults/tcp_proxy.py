"""A TCP proxy as a process, which knows nothing of what it passes on: `tcp_proxy.py HOST TARGET`.

TARGET is `host:port`, or the path of a socket. Prints its port. SIGUSR1 resets every connection and refuses new ones,
SIGUSR2 ends that. SIGHUP resets the connections to TARGET only: who is connected here is not told, nor is who comes
then, until SIGUSR2. Stopped (SIGSTOP) it is frozen: its kernel goes on acknowledging, nothing is passed on, nobody is
told.
"""

import asyncio
import signal
import sys
from contextlib import suppress


class Proxy:
    def __init__(self, target: str) -> None:
        self._target = target
        self._connections: set[asyncio.StreamWriter] = set()
        self._cut = False
        self._far: set[asyncio.StreamWriter] = set()
        self._whole = asyncio.Event()
        self._whole.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on in both directions until one side ends."""
        if self._cut:
            return writer.transport.abort()
        if not self._whole.is_set():
            self._connections.add(writer)
            await self._whole.wait()
            self._connections.discard(writer)
            return writer.transport.abort()
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            return writer.transport.abort()
        ends = {writer, far_writer}
        self._connections |= ends
        self._far.add(far_writer)
        passing = {
            asyncio.create_task(_pass_on(reader, far_writer)),
            asyncio.create_task(_pass_on(far_reader, writer)),
        }
        await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        for task in passing:
            task.cancel()
        self._far.discard(far_writer)
        await self._whole.wait()
        self._connections -= ends
        for end in ends:
            end.close()

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._cut = True
        for writer in self._connections:
            writer.transport.abort()
        print("cut", flush=True)

    def halve(self) -> None:
        """Reset the connections to the target, and tell nobody on this side."""
        self._whole.clear()
        for writer in self._far:
            writer.transport.abort()
        print("halved", flush=True)

    def mend(self) -> None:
        """Serve again."""
        self._cut = False
        self._whole.set()
        print("mended", flush=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._target.startswith("/"):
            return await asyncio.open_unix_connection(self._target)
        host, _, port = self._target.rpartition(":")
        return await asyncio.open_connection(host, int(port))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


async def main() -> None:
    host, target = sys.argv[1:]
    proxy = Proxy(target)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, proxy.cut)
    loop.add_signal_handler(signal.SIGUSR2, proxy.mend)
    loop.add_signal_handler(signal.SIGHUP, proxy.halve)
    server = await asyncio.start_server(proxy.serve, host, 0)
    print(f"port {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())

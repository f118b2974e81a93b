"""A network between client and server that can be made to fail."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine

from .ports import LOOPBACK, free

CHUNK = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Proxy:
    """Passes TCP connections on to a port of loopback, and does to them what a test says, at once:

    `cut` resets every connection; new ones pass. `stall` holds all bytes, of old and new connections, which stay open.
    `slow` lets so many bytes a second pass in each direction of each connection. `refuse` resets every connection and
    takes no new ones. `heal` ends all of that.
    """

    def __init__(self, to: int, port: int | None = None):
        self.port = free(1)[0] if port is None else port
        self._to = to
        self._rate = 0.0
        self._connections: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._open())

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def cut(self) -> None:
        self._do(self._reset())

    def stall(self) -> None:
        self._do(self._hold())

    def slow(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second

    def refuse(self) -> None:
        self._do(self._shut())

    def heal(self) -> None:
        self._rate = 0
        self._do(self._open())

    def close(self) -> None:
        self._do(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _do(self, work: Coroutine) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # Below, everything runs on the loop.

    _server: asyncio.Server | None = None

    async def _open(self) -> None:
        if self._server is None:
            self._flowing = asyncio.Event()
            self._server = await self._listen()
        self._flowing.set()

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, LOOPBACK, self.port)

    async def _hold(self) -> None:
        self._flowing.clear()

    async def _reset(self) -> None:
        for writer in self._connections:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            writer.transport.abort()

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()
        # Whoever was held finds its connection gone.
        self._flowing.set()
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*pending, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            await self._flowing.wait()
            upstream_reader, upstream_writer = await asyncio.open_connection(LOOPBACK, self._to)
            self._connections.add(upstream_writer)
            try:
                await asyncio.gather(self._pump(reader, upstream_writer), self._pump(upstream_reader, writer))
            finally:
                self._forget(upstream_writer)
        except OSError:
            pass  # One end has gone: so does the other, below.
        finally:
            self._forget(writer)

    def _forget(self, writer: asyncio.StreamWriter) -> None:
        self._connections.discard(writer)
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK if not self._rate else max(1, int(self._rate / 10))):
            if self._rate:
                await asyncio.sleep(len(data) / self._rate)
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            # TLS cannot end one direction alone.
            writer.close()

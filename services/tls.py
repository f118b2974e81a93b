"""TLS before a server that speaks none."""

import asyncio
import shutil
import ssl
import tempfile
from pathlib import Path

from .certificates import Authority
from .ports import LOOPBACK
from .proxy import Proxy


class TlsProxy(Proxy):
    """Takes TLS connections, with a certificate that only its own authority vouches for, and passes on what they carry.

    `address` is where to connect, `ca` the file that a client has to trust, and `protocols` what is agreed on with
    clients that name several: `h2` for gRPC. It can be made to fail as any proxy.
    """

    def __init__(self, to: int, protocols: tuple[str, ...] = ()):
        self._folder = Path(tempfile.mkdtemp(prefix="watershed-tls-"))
        authority = Authority(self._folder / "tls")
        self.ca = authority.certificate
        server = authority.server()
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(server.certificate, server.key)
        if protocols:
            self._context.set_alpn_protocols(list(protocols))
        super().__init__(to)

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._folder)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, LOOPBACK, self.port, ssl=self._context)

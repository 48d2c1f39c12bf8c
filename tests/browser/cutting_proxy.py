"""A TCP proxy that breaks the connections which carry something."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_PIECE = 4096


class CuttingProxy:
    """Passes bytes on; `cut` resets every connection that is open, `every` does so by itself."""

    def __init__(self, target: tuple[str, int], every: int = 0) -> None:
        self._target, self.every, self.cuts, self.url = target, every, 0, ""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    @classmethod
    @contextmanager
    def before(cls, url: str, every: int = 0) -> Iterator[CuttingProxy]:
        """Listen before this address; a connection breaks after `every` bytes of answer, if any."""
        parts = urlsplit(url)
        proxy = cls((parts.hostname or "", parts.port or 80), every)

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._pass_on(self.request)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            server.block_on_close = False
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
            try:
                yield proxy
            finally:
                server.shutdown()
                thread.join()
                proxy._reset_all()

    def cut(self) -> None:
        """Break what is open now."""
        self.cuts += 1
        self._reset_all()

    def _reset_all(self) -> None:
        with self._lock:
            for connection in list(self._open):
                _reset(connection)

    def _pass_on(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), socket.create_connection(self._target) as server:
            with self._lock:
                self._open |= {client, server}
            asking = threading.Thread(target=self._copy, args=(client, server, 0), daemon=True)
            asking.start()
            try:
                self._copy(server, client, self.every)
            finally:
                with self._lock:
                    self._open -= {client, server}
                for connection in (client, server):
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
                asking.join(5)

    def _copy(self, source: socket.socket, target: socket.socket, max_bytes: int) -> None:
        """Copy until one side ends; after `most` bytes, if any, the connection is reset."""
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(min(_PIECE, max_bytes - passed) if max_bytes else _PIECE):
                target.sendall(piece)
                passed += len(piece)
                if max_bytes and passed >= max_bytes:
                    self.cuts += 1
                    _reset(target)
                    return


def _reset(connection: socket.socket) -> None:
    """Break a connection so that its peer sees a reset (RST), not an end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)

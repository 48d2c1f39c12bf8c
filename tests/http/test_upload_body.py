"""A request's body on its way to a writer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from proxy.http.upload_body import UploadBody

PIECES = (memoryview(b"a" * 100_000), memoryview(b"end"))


class Upload:
    """A request that is being sent."""

    def __init__(self, *, last: bool = False) -> None:
        self.last = last
        self.transport: Any = None
        self.sent = False

    def body_sent(self) -> None:
        self.sent = True


class Writer:
    """Keeps what is written, and whether its connection was to be closed."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.transport = object()
        self.closes = False
        self.protocol = SimpleNamespace(force_close=self._force_close)

    def _force_close(self) -> None:
        self.closes = True

    async def write(self, chunk: memoryview) -> None:
        self.written.append(bytes(chunk))


@pytest.mark.parametrize("last", [False, True])
async def test_a_body_leaves_in_pieces(last: bool) -> None:
    """None is large, all arrive in order, and a connection that must not be reused is not."""
    upload, writer = Upload(last=last), Writer()
    body = UploadBody(PIECES, upload)
    await body.write(writer)  # type: ignore[arg-type]
    assert b"".join(writer.written) == b"".join(PIECES)
    assert max(map(len, writer.written)) <= 64 * 1024
    assert upload.sent
    assert upload.transport is writer.transport
    assert writer.closes is last


def test_its_size_and_text() -> None:
    """Known before it is sent: for Content-Length."""
    body = UploadBody(PIECES, Upload())
    assert body.size == 100_003
    assert body.decode().endswith("aend")

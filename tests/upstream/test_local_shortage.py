"""What is wanting here is no fault of an upstream's."""

from __future__ import annotations

import errno
import resource
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from proxy import errors
from proxy.upstream.error_map import map_body_error
from proxy.upstream.local_shortage import is_own_shortage
from tests.upstream.kit import GOOD, ask, call, opened, target, whole
from tests.upstream.peer import Peer, says, serves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.upstream.transport import Transport

KEY = ConnectionKey("h", 1, False, True, None, None, None)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process have no further descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
    try:
        while True:
            try:
                held.append(socket.socket())
            except OSError:
                break
        yield
    finally:
        for descriptor in held:
            descriptor.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENFILE, "Too many open files in system"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError("Multiple exceptions: [Errno 24] Too many open files, [Errno 101] unreachable"),
        aiohttp.ClientConnectorError(KEY, OSError(errno.EMFILE, "Too many open files")),
        MemoryError(),
        RuntimeError("can't start new thread"),
    ],
)
def test_it_is_known_for_what_it_is(error: BaseException) -> None:
    """However it is wrapped; within a body it is no cut of the upstream's either."""
    assert is_own_shortage(error)
    assert type(map_body_error(error, "a")) is errors.Overloaded


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        OSError(errno.ECONNREFUSED, "Connection refused"),
        aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "Name or service not known")),
        RuntimeError("something else"),
        ValueError("24"),
    ],
)
def test_what_is_the_upstreams_stays_so(error: BaseException) -> None:
    """A refused connection and an unknown name are nothing of ours."""
    assert not is_own_shortage(error)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "name.invalid"])
async def test_a_call_without_a_descriptor_is_an_overload(transport: Transport, host: str) -> None:
    """With an address as with a name, whose look-up needs a descriptor of its own."""
    async with Peer(serves(GOOD)) as peer:
        at = target(peer.url.replace("127.0.0.1", host))
        with no_descriptors(), pytest.raises(errors.Overloaded):
            await transport.send(call(), at, lambda: None)


async def test_an_upstream_is_not_blamed_for_it_nor_stays_charged() -> None:
    """It is asked again as soon as there are descriptors, and nothing is counted against it."""
    async with Peer(serves(GOOD)) as peer, opened(peer, eject_after_failures=1) as upstreams:
        with no_descriptors():
            for _ in range(5):
                with pytest.raises(errors.Overloaded) as raised:
                    await ask(upstreams)
                assert errors.headers_of(raised.value)["Retry-After"]
        status = upstreams.status()[0]
        assert (status["state"], status["failures_in_a_row"], status["streams"]) == ("up", 0, 0)
        assert await whole(await ask(upstreams)) == b"data: 1\n\n"


async def test_a_counter_that_fails_leaves_nothing_charged() -> None:
    """Who counts may want a file of its own; the hold on the upstream ends all the same."""

    class Broken:
        def retried(self, upstream: str, reason: str) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        def ejected(self, upstream: str) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        def returned(self, upstream: str) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

    async with (
        Peer(says(GOOD[:-7], then="close")) as peer,
        opened(peer, eject_after_failures=1) as upstreams,
    ):
        upstreams.observe(Broken())
        response = await ask(upstreams)
        with pytest.raises((errors.UpstreamCut, OSError)):
            await whole(response)
        assert upstreams.status()[0]["streams"] == 0

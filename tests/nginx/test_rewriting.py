"""What nginx accepts although it is not quite HTTP reaches a worker written anew.

Old versions accept more of it; these tests show for each that no worker can read it otherwise.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.integration.appliances import trusting
from tests.integration.hostile.http2_frames import Answer, Fields, Http2Frames
from tests.integration.hostile.http2_rows import AUTHORITY, GET, SCHEME, get, path, post
from tests.integration.hostile.request_framing import BARE_LF
from tests.nginx.front import DEADLINE, Front, Heard, plain
from tests.nginx.pem import ONE

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram

TLS: dict[str, Any] = {"tls_certificate": ONE.certificate, "tls_key": ONE.key}
SECOND = b"GET /v1/second HTTP/1.1\r\nHost: sluice.test\r\nConnection: close\r\n\r\n"
STRICT_CHUNKS_SINCE = (1, 29, 4)
ORDERED_PSEUDO_HEADERS_SINCE = (1, 31, 3)


class Recorder:
    """A worker's script: keeps what came as it came, each request's framing taken at its word."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, bytes]] = []
        """Request line and the bytes of the body, of chunks their frames as well."""

    async def __call__(self, heard: Heard) -> None:
        """Read one request strictly and answer it."""
        assert "connection" not in heard.headers
        assert heard.head.replace("\r\n", "").isprintable()
        async with asyncio.timeout(DEADLINE):
            if heard.headers.get("transfer-encoding") == "chunked":
                assert "content-length" not in heard.headers
                body = await heard.reader.readuntil(b"0\r\n\r\n")
            else:
                assert "transfer-encoding" not in heard.headers
                body = await heard.reader.readexactly(int(heard.headers.get("content-length", 0)))
        self.requests.append((heard.line, body))
        await heard.say(plain())


async def by_http2(front: Front, fields: Fields, body: bytes | None = None) -> Answer:
    """One request of HTTP/2, and what becomes of it."""
    async with await Http2Frames.open(front.tls_port, trusting()) as client:
        client.send(client.request(1, fields, body, ()))
        return await client.answer(1)


async def test_chunks_that_end_in_bare_lf(program: NginxProgram) -> None:
    """They are refused, or the worker gets the body framed by nginx, and then the next request."""
    async with Front(program) as front:
        for row in BARE_LF:
            recorder = front.worker.script = Recorder()
            got = await front.send((row.sent + SECOND).decode("latin-1"))
            if program.version >= STRICT_CHUNKS_SINCE:
                assert (got.status, recorder.requests) == (400, []), row.name
                continue
            (first, body), second = recorder.requests
            assert (got.status, first) == (200, "POST /v1/files HTTP/1.1"), row.name
            assert body in {b"ab", b"2\r\nab\r\n0\r\n\r\n"}, row.name
            assert second == ("GET /v1/second HTTP/1.1", b""), row.name


async def test_a_pseudo_header_after_the_fields(program: NginxProgram) -> None:
    """It is refused, or is the only one of its name, and the worker gets one request line."""
    late_path = (GET, SCHEME, AUTHORITY, (b"a", b"b"), path(b"/v1/models"))
    late_method = (SCHEME, AUTHORITY, path(b"/v1/models"), (b"a", b"b"), GET)
    async with Front(program, **TLS) as front:
        recorder = front.worker.script = Recorder()
        statuses = [(await by_http2(front, fields)).status for fields in (late_path, late_method)]
        repeated = await by_http2(front, (*get(b"/v1/models"), (b"a", b"b"), path(b"/v1/files")))
    assert repeated.status == 400
    if program.version >= ORDERED_PSEUDO_HEADERS_SINCE:
        assert (statuses, recorder.requests) == ([400, 400], [])
    else:
        assert statuses == [200, 200]
        assert recorder.requests == [("GET /v1/models HTTP/1.1", b"")] * 2


CONNECTION_FIELDS = (
    (b"connection", b"close"),
    (b"connection", b"0"),
    (b"keep-alive", b"timeout=5"),
    (b"proxy-connection", b"keep-alive"),
    (b"upgrade", b"websocket"),
    (b"transfer-encoding", b"chunked"),
    (b"te", b"gzip"),
    (b"te", b"trailers, deflate"),
)


async def test_http2_has_no_fields_of_a_connection(program: NginxProgram) -> None:
    """Every version refuses them (RFC 9113, 8.2.2), in the words of Sluice's errors."""
    async with Front(program, **TLS) as front:
        recorder = front.worker.script = Recorder()
        for field in CONNECTION_FIELDS:
            for ask, body in ((get, None), (post, b"2\r\nab\r\n0\r\n\r\n" + SECOND)):
                answer = await by_http2(front, ask(b"/v1/files", field), body)
                assert (answer.status, recorder.requests) == (400, []), (field, body)
                assert b"invalid_request" in answer.body, (field, body)


async def test_te_trailers_by_http2(program: NginxProgram) -> None:
    """The one field of a connection that HTTP/2 has is accepted, and kept from the worker."""
    async with Front(program, **TLS) as front:
        recorder = front.worker.script = Recorder()
        answers = [await by_http2(front, get(b"/v1/x", (b"te", b"Trailers"))) for _ in range(2)]
        assert all("te" not in heard.headers for heard in front.worker.heard)
    assert [answer.status for answer in answers] == [200, 200]
    assert len(recorder.requests) == 2

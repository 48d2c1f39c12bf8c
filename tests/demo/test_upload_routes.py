from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.demo.peer import call, request

if TYPE_CHECKING:
    from tests.demo.conftest import Demo

AUDIO = bytes(range(256)) * 5_000


async def test_the_echo_tells_what_arrived(demo: Demo) -> None:
    """Method, raw target, headers in order, length and digest of the body."""
    sent = request("/v1/echo?q=%20a&b", b"\x00\xffbody", method="PATCH", headers={"X-A": "é"})
    document = (await call(demo.port, sent)).json()
    assert (document["method"], document["target"], document["http_version"]) == (
        "PATCH",
        "/v1/echo?q=%20a&b",
        "1.1",
    )
    assert ["X-A", "Ã©"] in document["headers"]
    assert document["body"] == {"bytes": 6, "sha256": hashlib.sha256(b"\x00\xffbody").hexdigest()}


async def test_the_echo_takes_chunks_and_compression_as_they_are(demo: Demo) -> None:
    """Chunks are joined, a compressed body is not unpacked."""
    head = request("/v1/echo", headers={"Transfer-Encoding": "chunked", "Content-Encoding": "gzip"})
    heard = await call(demo.port, head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert heard.json()["body"]["sha256"] == hashlib.sha256(b"abcde").hexdigest()


async def test_the_echo_has_faults_too(demo: Demo) -> None:
    """Any route obeys the header."""
    heard = await call(demo.port, request("/v1/echo", headers={"X-Demo": "status=418"}))
    assert heard.status == 418


@pytest.mark.parametrize(
    "path", ["/v1/files", "/v1/audio/transcriptions", "/v1/audio/translations"]
)
async def test_a_multipart_upload(demo: Demo, path: str) -> None:
    """The answer has the file's name, size and digest, and tells of every part."""
    form = aiohttp.FormData()
    form.add_field("purpose", "fine-tune")
    form.add_field("file", io.BytesIO(AUDIO), filename="grüezi.wav", content_type="audio/wav")
    async with (
        aiohttp.ClientSession() as session,
        session.post(demo.url + path, data=form) as answer,
    ):
        document = await answer.json()
    assert answer.status == 200
    assert document["bytes"] == len(AUDIO)
    assert document["sha256"] == hashlib.sha256(AUDIO).hexdigest()
    assert [part["name"] for part in document["parts"]] == ["purpose", "file"]
    assert document["parts"][0]["text"] == "fine-tune"


async def test_a_bare_upload(demo: Demo) -> None:
    """A body that is no form is the file itself."""
    sent = request("/v1/files", AUDIO, headers={"Content-Type": "application/octet-stream"})
    document = (await call(demo.port, sent)).json()
    assert document["sha256"] == hashlib.sha256(AUDIO).hexdigest()
    assert document["status"] == "processed"


@pytest.mark.parametrize(
    "body",
    [
        b"no form at all",
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nx\r\n--b--\r\n',
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c--\r\n--b--\r\n",
    ],
)
async def test_a_form_that_cannot_be_used(demo: Demo, body: bytes) -> None:
    """A form that is broken, holds no file, or holds a form is a 400."""
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    heard = await call(demo.port, request("/v1/files", body, headers=headers))
    assert heard.status == 400
    assert heard.json()["error"]["message"]

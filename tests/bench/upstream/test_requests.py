from __future__ import annotations

import pytest

from bench.upstream.requests import BadRequestError, Request, RequestReader

PLAIN = b"POST /a?b=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = (
    b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n"
)
BARE = b"GET / HTTP/1.1\r\n\r\n"
ALL = [
    Request("POST", "/a?b=1", {"host": "x", "content-length": "3"}, b"abc"),
    Request("POST", "/c", {"transfer-encoding": "chunked"}, b"abc"),
    Request("GET", "/"),
]


@pytest.mark.parametrize("size", [1, 3, 10, 1000])
def test_requests_cut_anywhere(size: int) -> None:
    """Every request is read once and whole, a tail begins the next one."""
    reader, data = RequestReader(), PLAIN + CHUNKED + BARE
    requests = [
        request for i in range(0, len(data), size) for request in reader.feed(data[i : i + size])
    ]
    assert requests == ALL


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_bytes_that_are_no_request(data: bytes) -> None:
    """They are refused, not waited for."""
    with pytest.raises(BadRequestError):
        RequestReader().feed(data)

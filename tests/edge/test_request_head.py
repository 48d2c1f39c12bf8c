"""What a request's head must be."""

from __future__ import annotations

from unittest import mock

import pytest
from aiohttp import HttpVersion, HttpVersion10, HttpVersion11
from aiohttp.test_utils import make_mocked_request

from proxy.edge.request_head import authority, check, climbs, origin_form
from proxy.errors import BadRequest, NotFound
from proxy.request_errors import HttpVersionNotSupported, MethodNotAllowed

HOST = {"Host": "sluice.test"}


def asks(
    target: str = "/v1/models",
    method: str = "GET",
    headers: dict[str, str] | None = None,
    version: HttpVersion = HttpVersion11,
    socket: object = ("127.0.0.1", 80),
) -> None:
    transport = mock.Mock()
    transport.get_extra_info.side_effect = lambda name, *_: socket if name == "sockname" else None
    given = HOST if headers is None else headers
    check(make_mocked_request(method, target, given, version=version, transport=transport))


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_that_show_or_tunnel(method: str) -> None:
    """What they give, a key or a way in, is nobody's."""
    with pytest.raises(MethodNotAllowed):
        asks(method=method)


@pytest.mark.parametrize("version", [HttpVersion(0, 9), HttpVersion(1, 2), HttpVersion(2, 0)])
def test_other_versions(version: HttpVersion) -> None:
    """Their framing is another one."""
    with pytest.raises(HttpVersionNotSupported):
        asks(version=version)


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a/b",
        "user@a",
        "user:pw@a",
        "a b",
        "a,b c",
        "[::1",
        "a:8x",
        "a:999999",
        "a:65536",
        "\xe9",
        "a%40b",
    ],
)
def test_a_host_that_is_none(host: str) -> None:
    """Nobody guesses what was meant."""
    with pytest.raises(BadRequest, match="Host"):
        asks(headers={"Host": host})


@pytest.mark.parametrize(
    "host", ["a", "a.b-c_d", "a:8080", "a:65535", "a:", "[::1]:80", "127.0.0.1"]
)
def test_a_host_as_it_may_be(host: str) -> None:
    """Names, addresses and ports pass (RFC 3986, 3.2.2)."""
    asks(headers={"Host": host})


def test_only_the_old_version_may_leave_the_host_out() -> None:
    """HTTP/1.0 has none (RFC 1945); probes use it."""
    asks(headers={}, version=HttpVersion10)
    with pytest.raises(BadRequest, match="Host"):
        asks(headers={})


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, chunked", "identity", "x", ""])
def test_transfer_codings(coding: str) -> None:
    """Where a body ends is known only for chunked alone."""
    with pytest.raises(BadRequest):
        asks(headers=HOST | {"Transfer-Encoding": coding})
    asks(headers=HOST | {"Transfer-Encoding": "Chunked"})


def test_two_kinds_of_framing() -> None:
    """Both at once, or chunks in HTTP/1.0, are how a second request is smuggled in."""
    chunked = HOST | {"Transfer-Encoding": "chunked"}
    with pytest.raises(BadRequest):
        asks(headers=chunked | {"Content-Length": "3"})
    with pytest.raises(BadRequest):
        asks(headers=chunked, version=HttpVersion10)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/..", "/v1/../x", "/v1/./x", "/v1/..;/x", "/v1/..;a=b/x", "/v1/%2e%2e/x", "/v1/.%2E;/x",
        "/v1/..%2fx", "/v1/%2e%2e%2fx", "/v1/%252e%252e/x", "/v1/%25252e%25252e/x", "/v1/..%3b/x",
        "/v1/%c0%ae%c0%ae/x", "/v1/..%20/x", "/v1/x/..%c0%afy", "/v1/..%5cx",
        "/v1/..%3f/x", "/v1/..%23/x", "/v1/..%c2%a0/x", "/v1/..%ff/x",
        "/v1/%ef%bc%8e%ef%bc%8e/x", "/v1/%e2%80%a5/x", "/v1/..%ef%bc%8fx",
    ],
)  # fmt: skip
def test_a_path_that_some_server_climbs_by(path: str) -> None:
    """However it is written."""
    assert climbs(path)
    with pytest.raises(BadRequest):
        asks(path)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/a..b",
        "/v1/...",
        "/v1/a%2Fb",
        "/v1/.well-known",
        "/v1/a;b=..",
        "/v1//echo",
        "/v1/%C3%A9",
    ],
)
def test_a_path_that_only_looks_like_it(path: str) -> None:
    """Names may have dots, slashes and semicolons in them."""
    assert not climbs(path)
    asks(path)


@pytest.mark.parametrize(
    "target",
    [
        "//v1/models",
        "/v1\\x",
        "/v1/%5cx",
        "/v1/%00",
        "/v1/%2500",
        "/v1/a%250d%250ab",
        "/v1/models;key=s",
        "/v1/a%0d%0ab",
        "/v1/%zz",
        "/v1/a%",
        "/v1/%2",
        "ftp://a/v1/x",
        "v1/x",
    ],
)
def test_a_target_that_is_no_path(target: str) -> None:
    """Slashes that lean the other way, and what could end a line somewhere."""
    with pytest.raises(BadRequest):
        asks(target)


def test_the_query_may_say_what_it_likes() -> None:
    """It is a parameter, and no way."""
    asks("/v1/models?url=..%2f..&x=%00\\")


@pytest.mark.parametrize("path", ["/internal/status", "/%69nternal/status", "/internal%2Fstatus"])
def test_what_workers_tell_is_for_their_own_socket(path: str) -> None:
    """On a port the route does not exist, however it is written."""
    with pytest.raises(NotFound):
        asks(path)
    asks(path, socket="/run/worker.sock")


def test_an_absolute_target() -> None:
    """Its authority is the host that was asked, and the rest is the path."""
    request = make_mocked_request("GET", "http://other:81/v1/a?b=%2F", HOST)
    assert (authority(request), origin_form(request)) == ("other:81", "/v1/a?b=%2F")
    plain = make_mocked_request("GET", "/v1/a?b", HOST)
    assert (authority(plain), origin_form(plain)) == ("sluice.test", "/v1/a?b")
    bare = make_mocked_request("GET", "http://other?x", HOST)
    assert origin_form(bare) == "/?x"
    with pytest.raises(BadRequest):
        asks("http://user@other/v1/models")

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from proxy.errors import BodyTooLarge, NotFound, Overloaded, document_of
from proxy.record import Family
from tests.nginx.front import Front, Heard, plain

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram

HOST = "Host: a\r\nOrigin: https://app.example\r\nConnection: close\r\n"
SITUATIONS: dict[str, tuple[str, int, str]] = {
    "no http": ("what is this\r\n\r\n", 400, "invalid_request"),
    "two lengths": (
        f"POST / HTTP/1.1\r\n{HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        400,
        "invalid_request",
    ),
    **{
        f"connect to {target}": (
            f"CONNECT {target} HTTP/1.1\r\n{HOST}\r\n",
            405,
            "method_not_allowed",
        )
        for target in ("/v1/x", "evil.example:443")
    },
    "trace": (f"TRACE /v1/x HTTP/1.1\r\n{HOST}\r\n", 405, "method_not_allowed"),
    "body too large": (
        f"POST /v1/x HTTP/1.1\r\n{HOST}Content-Length: 9999\r\n\r\n{'x' * 9999}",
        413,
        "request_too_large",
    ),
    "chunks too large": (
        (
            f"POST /v1/x HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n"
            f"800\r\n{'x' * 2048}\r\n0\r\n\r\n"
        ),
        413,
        "request_too_large",
    ),
    "url too long": (f"GET /{'x' * 9000} HTTP/1.1\r\n{HOST}\r\n", 414, "uri_too_long"),
    "header too large": (
        f"GET /v1/x HTTP/1.1\r\n{HOST}X-Big: {'x' * 9000}\r\n\r\n",
        431,
        "headers_too_large",
    ),
    "unknown coding": (
        f"POST /v1/x HTTP/1.1\r\n{HOST}Transfer-Encoding: smoke\r\n\r\n",
        400,
        "invalid_request",
    ),
    "version 3": (f"GET /v1/x HTTP/3.0\r\n{HOST}\r\n", 505, "http_version_not_supported"),
}


@pytest.mark.parametrize(("sent", "status", "code"), SITUATIONS.values(), ids=SITUATIONS.keys())
async def test_nginx_refuses_in_the_shape_of_the_worker(
    program: NginxProgram, sent: str, status: int, code: str
) -> None:
    """What nginx refuses by itself is JSON with the same fields, the request id included."""

    async def read_on(heard: Heard) -> None:
        await heard.left()

    async with Front(program, max_body_bytes=1024, cors_origins=("*",)) as front:
        front.worker.script = read_on
        got = await front.send(sent)
    assert got.status == status
    assert got.one("Content-Type") == "application/json"
    error = got.json()["error"]
    assert error["code"] == code
    assert error["type"] == ("invalid_request_error" if status < 500 else "server_error")
    assert error["request_id"] == got.one("X-Request-ID")
    assert got.one("Access-Control-Allow-Origin") == "*"
    assert len(got.all("Allow")) == (status == 405)


async def test_no_worker_is_a_503_that_says_when_to_try_again(program: NginxProgram) -> None:
    """With every worker gone the client gets the reason, a time, and its own request id."""
    async with Front(program) as front:
        await front.worker.stop()
        got = await front.get("/v1/x", "X-Request-ID: mine")
    assert got.status == 503
    assert got.json()["error"]["code"] == "worker_unreachable"
    assert got.one("Retry-After") == "1"
    assert got.json()["error"]["request_id"] == "mine"


async def test_a_worker_past_its_clocks_is_a_504(program: NginxProgram) -> None:
    """A worker that is silent for longer than its own clocks allow is given up."""

    async def silent(heard: Heard) -> None:
        await heard.left()

    async with Front(program, values={"WORKER_SILENCE_SECONDS": "1"}) as front:
        front.worker.script = silent
        got = await front.get()
    assert got.status == 504
    assert got.json()["error"]["code"] == "worker_timeout"


async def test_messages_get_errors_of_their_family(program: NginxProgram) -> None:
    """On Anthropic's route the body is Anthropic's, so that its SDK raises its own error."""
    async with Front(program) as front:
        await front.worker.stop()
        got = await front.get("/v1/messages?beta=true")
    document = got.json()
    assert document["type"] == "error"
    assert document["error"]["type"] == "overloaded_error"
    assert document["request_id"] == got.one("X-Request-ID")


async def test_an_error_of_the_worker_is_not_replaced(program: NginxProgram) -> None:
    """A worker's own 503 keeps its body and its one `Retry-After`."""

    async def overloaded(heard: Heard) -> None:
        await heard.say(
            plain('{"own": 1}', status="503 Service Unavailable", more="Retry-After: 7\r\n")
        )

    async with Front(program) as front:
        front.worker.script = overloaded
        got = await front.get()
    assert got.status == 503
    assert got.json() == {"own": 1}
    assert got.one("Retry-After") == "7"


async def test_head_has_the_status_and_no_body(program: NginxProgram) -> None:
    """An error to a HEAD request is its status and headers alone."""
    async with Front(program) as front:
        await front.worker.stop()
        got = await front.get(method="HEAD")
    assert got.status == 503
    assert got.body == ""


@pytest.mark.parametrize("family", [Family.CHAT, Family.MESSAGES])
@pytest.mark.parametrize("error", [BodyTooLarge("No."), NotFound("No."), Overloaded("No.")])
def test_both_make_the_same_fields(family: Family, error: Any) -> None:
    """The shape that these tests ask of nginx is the one that the worker makes."""
    document = document_of(error, family, "id")
    if family is Family.MESSAGES:
        assert document.keys() == {"type", "error", "request_id"}
    else:
        assert document["error"].keys() == {"message", "type", "code", "request_id"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1beta/models/m:streamGenerateContent", "gemini"),
        ("/v1alpha/models/m:generateContent", "gemini"),
        ("/v1/messages", "anthropic"),
        ("/anthropic/v1/messages", "anthropic"),
        ("/v1/threads/t/messages", "openai"),
        ("/v1/chat/completions", "openai"),
    ],
)
async def test_nginx_refuses_in_the_familys_shape(
    program: NginxProgram, path: str, shape: str
) -> None:
    """Google's SDKs find a number and a word, Anthropic's finds its request id."""
    async with Front(program, max_body_bytes=1024) as front:
        got = await front.send(
            f"POST {path} HTTP/1.1\r\n{HOST}Content-Length: 9999\r\n\r\n{'x' * 9999}"
        )
    document = got.json()
    error = document["error"]
    assert got.one("X-Request-ID") in error["message"]
    if shape == "gemini":
        assert (error["code"], error["status"]) == (413, "INVALID_ARGUMENT")
        # In capitals, as from a worker.
        assert error["details"][0]["reason"] == "REQUEST_TOO_LARGE"
    elif shape == "anthropic":
        assert document["type"] == "error"
        assert got.one("Request-Id") == got.one("X-Request-ID")
    else:
        assert error["code"] == "request_too_large"


@pytest.mark.parametrize(
    ("target", "version", "status"),
    [(f"?a={'x' * 9000}", "1.1", 414), ("?a=\x01", "1.1", 400), ("", "3.0", 505)],
    ids=["too long", "bad", "version"],
)
async def test_so_it_does_where_it_has_not_read_the_path(
    program: NginxProgram, target: str, version: str, status: int
) -> None:
    """A request line that is refused tells its family all the same."""
    async with Front(program) as front:
        for path, mark in (
            ("/v1/messages", '"type": "error"'),
            ("/v1beta/models/m:generateContent", "google.rpc.ErrorInfo"),
        ):
            got = await front.send(f"POST {path}{target} HTTP/{version}\r\n{HOST}\r\n")
            assert got.status == status
            assert mark in got.body


@pytest.mark.parametrize("origins", [("https://app.example",), ("https://a.b", "https://c.d")])
async def test_a_page_can_read_why(program: NginxProgram, origins: tuple[str, ...]) -> None:
    """A request too large to be read to its Origin: the refusal may be read all the same."""
    async with Front(program, cors_origins=origins) as front:
        for words in (f"GET /{'x' * 9000} HTTP/1.1", f"GET / HTTP/1.1\r\nX-Big: {'x' * 9000}"):
            got = await front.send(f"{words}\r\n{HOST}\r\n")
            assert got.status in {414, 431}
            only = origins[0] if len(origins) == 1 else "*"
            assert got.one("Access-Control-Allow-Origin") == only

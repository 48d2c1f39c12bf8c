from __future__ import annotations

import json

import pytest

from proxy.appliance.nginx_log_parser import access_fields, error_fields, safe_path

AT = "2026/11/21 07:52:49"
OF_CLIENT = "client: 127.0.0.1, server: , "


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        (f"{AT} [error] 12#12: *3 it broke", "error", "it broke"),
        (f"{AT} [emerg] 12#12: no port", "error", "no port"),
        (f"{AT} [warn] 12#12: hm", "warning", "hm"),
        (f"{AT} [notice] 12#12: exit", "info", "exit"),
        ("nginx: [alert] could not open", "error", "could not open"),
        ("nginx: configuration file x test failed", "info", "configuration file x test failed"),
        ("anything else", "info", "anything else"),
    ],
)
def test_its_lines_keep_their_level(line: str, level: str, message: str) -> None:
    """Level and text of nginx's lines, in the words of our log."""
    text, fields = error_fields(line)
    assert (text, fields["message"]) == (level, message)


def test_a_complaint_says_of_whom_and_of_what() -> None:
    """Connection, client, method, path and worker are fields; the query is nowhere."""
    _, fields = error_fields(
        f"{AT} [error] 1#1: *3 upstream prematurely closed connection while reading upstream, "
        f'{OF_CLIENT}request: "POST /v1beta/m:generate?key=AIzaSecret HTTP/1.1", '
        'upstream: "http://unix:/tmp/w-0.sock:/v1beta/m:generate?key=AIzaSecret", '
        'host: "u:Secret@h", referrer: "https://a/?q=private"'
    )
    assert fields == {
        "message": "upstream prematurely closed connection while reading upstream",
        "connection": 3,
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/v1beta/m:generate",
        "worker": "unix:/tmp/w-0.sock",
    }


@pytest.mark.parametrize(
    ("message", "level"),
    [
        ("upstream prematurely closed connection while reading upstream", "info"),
        ("recv() failed (104: Connection reset by peer) while reading upstream", "info"),
        (
            "upstream prematurely closed connection while reading response header from upstream",
            "error",
        ),
        ("upstream timed out (110: Connection timed out) while reading upstream", "error"),
    ],
)
def test_a_stream_that_sluice_breaks_off_is_no_error(message: str, level: str) -> None:
    """A cut stream is broken off on purpose; a worker that says nothing at all is an error."""
    line = (
        f'{AT} [error] 1#1: *3 {message}, {OF_CLIENT}request: "GET /v1/x HTTP/1.1", '
        'upstream: "http://unix:/tmp/w-0.sock:/v1/x"'
    )
    text, fields = error_fields(line)
    assert (text, fields["message"]) == (level, message)


_HEADER = "client sent %s header line: "
_LARGE = "client intended to send too large body: 9 bytes"
_READING = "while reading client request line"


@pytest.mark.parametrize(
    ("complaint", "request_line"),
    [
        (_HEADER % "invalid" + '"X-Api-Key\\x20: SECRET"', "GET /v1/x HTTP/1.1"),
        (_HEADER % "too long" + '"X-Api-Key: SECRET..."', "GET /v1/x HTTP/1.1"),
        (_HEADER % "duplicate" + '"Host: SECRET", previous value: "SECRET"', "GET / HTTP/1.1"),
        (_LARGE, "POST /v1/x?key=SECRET HTTP/1.1"),
        (_LARGE, 'POST /v1/x?a="b&key=SECRET HTTP/1.1'),
        (f"client sent invalid request {_READING}", "GET http://u:SECRET@h/v1 HTTP/1.1"),
        (f"client sent invalid method {_READING}", "SECRET"),
        ("client sent invalid host in request line", "GET /v1/x;api_key=SECRET HTTP/1.1"),
        ("it broke", 'GET /v1/x%3Fkey=SECRET HTTP/1.1", host: "SECRET'),
        ("it broke", "GET /v1/token=SECRET/x HTTP/1.1"),
    ],
)
def test_no_key_that_a_client_wrote_comes_through(complaint: str, request_line: str) -> None:
    """Whatever nginx quotes of a client's bytes is left behind."""
    _, fields = error_fields(
        f'{AT} [info] 1#1: *3 {complaint}, {OF_CLIENT}request: "{request_line}"'
    )
    assert "SECRET" not in json.dumps(fields)
    assert fields["message"]


def test_words_at_the_start_have_no_user_in_their_urls() -> None:
    """What is said of the configuration is kept, but for passwords."""
    _, fields = error_fields('nginx: [emerg] host not found in "http://u:SECRET@h/?key=SECRET"')
    assert fields["message"] == 'host not found in "http://…@h/?…"'


def test_a_path_that_is_no_utf8_is_written_as_a_url_would_have_it() -> None:
    """The line is valid, and tells which bytes came."""
    fields = access_fields(b'{"path": "/v1/\xff\xfe", "status": "502", "own": 1}')
    assert fields == {"path": "/v1/%FF%FE", "status": 502, "own": 1}


def test_no_status_is_zero() -> None:
    """Nginx writes `000` where there was no answer."""
    fields = access_fields(b'{"path": "", "status": "000"}')
    assert fields is not None
    assert fields["status"] == 0


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"3", b'{"path": 3, "status": "x"}', b"\xff"])
def test_what_is_no_access_line_is_none(line: bytes) -> None:
    """A torn line is told from a whole one, and raises nothing."""
    assert access_fields(line) is None


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/v1/models", "/v1/models"),
        ("/v1/..;/admin", "/v1/..;/admin"),
        ("/v1/x;key=abc/y", "/v1/x;key=…/y"),
        ("/v1/x%3fkey=abc", "/v1/x"),
        ("/v1/\x1b[31m", "/v1/%1B%5B31m"),
        ("/v1/models/ü:generate", "/v1/models/ü:generate"),
        ("/v1/x%253Fk%65y=s3cret", "/v1/x"),
        ("/v1/x;k%65y=s3cret/y", "/v1/x;key=…/y"),
        ("/v1/x;%256Bey=s3cret", "/v1/x;key=…"),
        ("/v1/caf%C3%A9", "/v1/caf%C3%A9"),
    ],
)
def test_a_path_can_be_written_down(path: str, written: str) -> None:
    """No query in disguise, no value of a key, nothing that steers a terminal."""
    assert safe_path(path) == written

from __future__ import annotations

import json
from typing import Any

import structlog.testing

from proxy.appliance.nginx_log import NginxLog

AT = "2026/11/21 07:52:49"


def access(**fields: Any) -> bytes:
    """An access line."""
    known = {"event": "access", "level": "info", "timestamp": "t", "connection": 3}
    served = {"status": "200", "path": "/v1/x", "request_id": "r-1", "completed": "OK"}
    return json.dumps(known | served | {"own": 0, "listed": 1} | fields).encode() + b"\n"


def cut(connection: int = 3, path: str = "/v1/x") -> bytes:
    """A complaint about a worker that broke off."""
    return (
        f"{AT} [error] 1#1: *{connection} upstream prematurely closed connection while reading "
        f'upstream, client: 127.0.0.1, server: , request: "GET {path} HTTP/1.1"\n'
    ).encode()


class Written:
    """Takes lines of JSON."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def __call__(self, lines: bytes) -> None:
        self.lines += [json.loads(line) for line in lines.splitlines()]


def test_each_line_is_one_of_the_log() -> None:
    """Several lines in one read are several lines in the log."""
    with structlog.testing.capture_logs() as logged:
        NginxLog().errors(f"{AT} [warn] 1#1: one\n{AT} [error] 1#1: two\n".encode())
    assert [(entry["log_level"], entry["message"]) for entry in logged] == [
        ("warning", "one"),
        ("error", "two"),
    ]


def test_a_complaint_gets_the_id_of_its_request() -> None:
    """It waits for the access line of its connection, and that one says that it was cut."""
    written = Written()
    log = NginxLog(write=written)
    with structlog.testing.capture_logs() as logged:
        log.errors(cut() + cut(connection=4))
        assert logged == []
        log.access(access())
        assert [entry["request_id"] for entry in logged] == ["r-1"]
        log.flush()
    assert [entry["connection"] for entry in logged] == [3, 4]
    assert "request_id" not in logged[1]
    assert written.lines[0]["completed"] == "cut"


def test_a_complaint_of_another_stream_of_the_connection_waits_for_its_own() -> None:
    """Over HTTP/2 one connection has many requests; the path tells them apart."""
    written = Written()
    log = NginxLog(write=written)
    with structlog.testing.capture_logs() as logged:
        log.errors(cut(path="/v1/y"))
        log.access(access())
        log.access(access(path="/v1/y", request_id="r-2"))
    assert [entry["request_id"] for entry in logged] == ["r-2"]
    assert [line["completed"] for line in written.lines] == ["OK", "cut"]


def test_a_complaint_that_no_access_line_follows_is_written_all_the_same() -> None:
    """With the access log off, or a connection that never asked."""
    log = NginxLog(hold=0)
    with structlog.testing.capture_logs() as logged:
        log.errors(cut())
    assert len(logged) == 1


def test_people_read_the_access_log_like_the_rest() -> None:
    """In a terminal an access line is a log line with its fields, not a line of JSON."""
    with structlog.testing.capture_logs() as logged:
        NginxLog(for_people=True).access(
            access(path="/v1/\udcff".encode("utf-8", "surrogateescape").decode("latin-1"))
        )
    assert [entry["event"] for entry in logged] == ["access"]
    assert logged[0]["status"] == 200


def test_nothing_that_a_client_sends_ends_the_log() -> None:
    """A line that cannot be read is said, without its bytes, and the next one is written."""
    for for_people in (False, True):
        written = Written()
        log = NginxLog(for_people=for_people, write=written)
        with structlog.testing.capture_logs() as logged:
            log.access(b"\xff key=SECRET\n" + b'{"path": "/\xff", "status": "200"}\n' + access())
        assert len(written.lines) + len(logged) == 3
        assert "SECRET" not in str(logged)


def test_what_is_not_listed_is_told_and_not_written() -> None:
    """Whoever counts hears of every line."""
    written, requests = Written(), list[dict[str, Any]]()
    log = NginxLog(write=written, on_access=lambda fields: requests.append(dict(fields)))
    log.access(access(listed=0, own=1, status="502"))
    assert written.lines == []
    assert [request["status"] for request in requests] == [502]

from __future__ import annotations

import pytest
import structlog.testing

from proxy.appliance.nginx_log import access_to_log, parsed, to_log


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        ("2026/11/21 07:52:49 [error] 12#12: *3 it broke", "error", "*3 it broke"),
        ("2026/11/21 07:52:49 [emerg] 12#12: no port", "error", "no port"),
        ("2026/11/21 07:52:49 [warn] 12#12: hm", "warning", "hm"),
        ("2026/11/21 07:52:49 [notice] 12#12: exit", "info", "exit"),
        ("nginx: [alert] could not open", "error", "could not open"),
        ("nginx: configuration file x test failed", "info", "configuration file x test failed"),
        ("anything else", "info", "anything else"),
    ],
)
def test_its_lines_keep_their_level(line: str, level: str, message: str) -> None:
    """Level and text of nginx's lines, in the words of our log."""
    assert parsed(line) == (level, message)


def test_a_key_in_a_url_is_not_logged() -> None:
    """The request is quoted in errors, but not what stands after its question mark."""
    line = (
        "2026/11/21 07:52:49 [error] 1#1: *3 upstream prematurely closed, client: 127.0.0.1, "
        'request: "POST /v1beta/m:generate?key=AIzaSecret HTTP/1.1", '
        'upstream: "http://unix:/tmp/w.sock:/v1beta/m:generate?key=AIzaSecret", '
        'referrer: "https://a/?q=private"'
    )
    _, message = parsed(line)
    assert "Secret" not in message
    assert "private" not in message
    assert 'request: "POST /v1beta/m:generate?… HTTP/1.1"' in message


def test_each_line_is_one_of_the_log() -> None:
    """Several lines in one read are several lines in the log."""
    with structlog.testing.capture_logs() as logged:
        to_log(b"2026/11/21 07:52:49 [warn] 1#1: one\n2026/11/21 07:52:49 [error] 1#1: two\n")
    assert [(entry["log_level"], entry["message"]) for entry in logged] == [
        ("warning", "one"),
        ("error", "two"),
    ]


def test_people_read_the_access_log_like_the_rest() -> None:
    """In a terminal an access line is a log line with its fields, not a line of JSON."""
    with structlog.testing.capture_logs() as logged:
        access_to_log(b'{"event": "access", "level": "info", "timestamp": "t", "status": 200}\n')
    assert logged == [{"event": "access", "log_level": "info", "status": 200}]

"""Hostile requests to the admin port, and a log for people that nothing ends."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.integration.faults import gateways
from tests.integration.faults.gateways import Process, RunningGateway, Upstream
from tests.integration.hostile.asking import CLIENT, MARK, OPERATOR, get, head, post
from tests.integration.hostile.test_requests import answers_all, fronts
from tests.integration.hostile.through_nginx import every_way
from tests.integration.raw import BrokenOff, Line
from tests.upstream.peer import Peer

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram

_STATUS = b"/status"
_REBOUND = b"rebound.example"


def asked_of(host: bytes, *fields: bytes, target: bytes = _STATUS) -> bytes:
    """A GET under this name."""
    lines = b"".join(field + b"\r\n" for field in (b"Host: " + host, *fields) if host)
    return b"GET " + target + b" HTTP/1.1\r\n" + lines + b"\r\n"


ROWS: tuple[tuple[str, bytes, int], ...] = (
    ("its address", asked_of(b"127.0.0.1"), 200),
    ("its address of IPv6", asked_of(b"[::1]:9464"), 200),
    ("this machine", asked_of(b"localhost:9464"), 200),
    ("a name of the setting", asked_of(b"Sluice.Example:9464"), 200),
    ("HTTP/1.0 without a name", b"GET /status HTTP/1.0\r\n\r\n", 200),
    ("a name that was made to lead here", asked_of(_REBOUND), 403),
    ("such a name with a port", asked_of(_REBOUND + b":9464"), 403),
    ("an address within a name", asked_of(b"127.0.0.1." + _REBOUND), 403),
    ("this machine within a name", asked_of(b"localhost." + _REBOUND), 403),
    ("a name behind a user", asked_of(b"127.0.0.1@" + _REBOUND), 403),
    ("its metrics by such a name", asked_of(_REBOUND, target=b"/metrics"), 403),
    ("its page by such a name", asked_of(_REBOUND, target=b"/"), 403),
    ("a route that is none by such a name", asked_of(_REBOUND, target=b"/x"), 403),
    ("its health by any name", asked_of(_REBOUND, target=b"/healthz"), 200),
    ("its readiness by any name", asked_of(_REBOUND, target=b"/readyz"), 200),
    ("its own page", asked_of(b"localhost:9464", b"Origin: http://localhost:9464"), 200),
    ("another page", asked_of(b"localhost:9464", b"Origin: https://evil.example"), 403),
    ("a page of another port", asked_of(b"localhost:9464", b"Origin: http://localhost:1"), 403),
    ("a page of no origin", asked_of(b"localhost:9464", b"Origin: null"), 403),
    ("an image on another page", asked_of(b"localhost", b"Sec-Fetch-Site: cross-site"), 403),
    ("a frame on the same site", asked_of(b"localhost", b"Sec-Fetch-Site: Same-Site"), 403),
    ("an address bar", asked_of(b"localhost", b"Sec-Fetch-Site: none"), 200),
    ("a preflight", head(b"OPTIONS", _STATUS).replace(b"sluice.test", b"localhost"), 405),
    ("a POST", post(_STATUS, b"{}").replace(b"sluice.test", b"localhost"), 405),
    ("no route", asked_of(b"localhost", target=b"/nowhere"), 404),
    ("what workers tell", asked_of(b"localhost", target=b"/internal/status"), 404),
    ("a relayed route", asked_of(b"localhost", target=b"/v1/models"), 404),
    ("a way out of its pages", asked_of(b"localhost", target=b"/../../etc/passwd"), 404),
    ("an encoded way out", asked_of(b"localhost", target=b"/%2e%2e/%2e%2e/etc/passwd"), 404),
    ("no HTTP at all", b"\x16\x03\x01" + MARK + b"\r\n\r\n", 400),
    ("a bad field", asked_of(b"localhost", b"X-A : " + MARK), 400),
    ("two lengths", asked_of(b"localhost", b"Content-Length: 0", b"Content-Length: 1"), 400),
    ("a NUL in a field", asked_of(b"localhost", b"X-A: \0" + MARK), 400),
)


async def answered(url: str, sent: bytes) -> tuple[int, bytes]:
    """Status and whole answer."""
    async with await Line.open(url) as line:
        answer = await line.whole(sent, method="GET")
    fields = "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
    return answer.status, fields.encode("latin-1") + answer.body


async def wrong_with(url: str, sent: bytes, status: int) -> str:
    """What is wrong with an answer of the admin port; empty if nothing is."""
    got, response = await answered(url, sent)
    if got != status:
        return f"{got} instead of {status}: {response[:200]!r}"
    if MARK in response or b"access-control-" in response.lower():
        return f"it tells what it may not: {response[:200]!r}"
    body = response.rpartition(b"\n{")[2]
    if status >= 400 and not {"message", "code"} <= set(json.loads(b"{" + body)["error"]):
        return f"it is not in Sluice's words: {response[:200]!r}"
    return ""


@pytest.mark.timeout(60)
async def test_the_admin_port_answers_no_page_of_others() -> None:
    """Neither under a name that was made to lead here nor from another origin; the rest is told."""
    async with Peer(answers_all) as peer:
        upstream = Upstream(Process(None, peer.url))  # type: ignore[arg-type] # it runs here
        with gateways.appliance(upstream, admin_hosts="sluice.example") as front:
            complaints = {
                name: await wrong_with(front.admin_url, sent, status) for name, sent, status in ROWS
            }
    wrong = {name: complaint for name, complaint in complaints.items() if complaint}
    assert not wrong, "\n".join(f"{name}: {complaint}" for name, complaint in wrong.items())
    assert not [line for line in front.process.lines if MARK.decode() in line]


_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
_ODD = (
    get(b"/v1/\xff\xfe?key=" + MARK),
    get(b"/v1/\x1b[31mred"),
    get(b"/v1/%1b%5b31mred"),
    get(b"/v1/\xed\xa0\x80"),
    get(b'/v1/"}\\x'),
    get(b"/v1/{x}%s%(y)s%d"),
    get(b"/v1/[bold]x[/bold]"),
    get(b"/v1/\xe2\x80\xa8\xe2\x80\xae"),
    get(b"/v1/models", b"X-Request-ID: \xff"),
    get(b"/v1/models", b"X-Forwarded-For: \xff\x1b"),
    get(b"/" + b"x" * 7000),
    post(b"/v1/chat/completions", b'{"model":"\\ud800\\u001b[31m' + b"m" * 9000 + b'"}'),
    head(b"GET", b"/v1/models", version=b"9.9"),
    b"\x00\x01\xff\r\n\r\n",
    b"GET http://" + MARK + b"@x/ HTTP/1.1\r\nHost: a\r\n\r\n",
)


async def sent_whatever(front: RunningGateway, sent: bytes) -> None:
    """Send it; the answer is another test's."""
    async with await Line.open(front.url) as line:
        try:
            await line.whole(sent, method="GET")
        except (BrokenOff, ValueError):
            return


@pytest.mark.timeout(60)
@every_way
async def test_nothing_that_a_client_sends_ends_the_log_for_people(
    nginx: NginxProgram | None,
) -> None:
    """After it each of ten good requests has its lines; none has a key or steers a screen."""
    async with Peer(answers_all) as peer:
        with fronts(nginx, peer, keys=False, log_format="console", access_log="all") as front:
            for sent in _ODD:
                await sent_whatever(front, sent)
            ids = [f"good-{number}" for number in range(10)]
            for known in ids:
                await sent_whatever(front, get(b"/v1/models", b"X-Request-ID: " + known.encode()))

            async def logged() -> bool:
                text = "\n".join(front.process.lines)
                return all(text.count(known) >= (1 if nginx is None else 2) for known in ids)

            await gateways.eventually(logged, "a good request has no line")
    text = "\n".join(front.process.lines)
    for word in (MARK, OPERATOR, CLIENT, b"Traceback", b"lines_lost"):
        assert word.decode() not in text
    assert not _CONTROLS.search(text)

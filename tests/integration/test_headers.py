"""Header fields: what passes, what ends here, what is added, in both directions."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from tests.integration.conftest import StartWorker, Worker
from tests.integration.raw import Fields, ask_chat, exchange, request
from tests.integration.test_requests_pass import arrived
from tests.upstream.peer import EVENTS, LAST_CHUNK, Peer, chunk, plain, says, serves

DONE = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
STREAM = EVENTS + chunk(DONE) + LAST_CHUNK


async def seen_by_upstream(front: Worker, *fields: tuple[str, str]) -> CIMultiDict[str]:
    """The header fields that reach the upstream when a client sends these."""
    answer = await exchange(front.url, request("POST", "/v1/echo", b"x", list(fields)))
    assert answer.status == 200, answer.body
    return arrived(answer.json())


async def test_end_to_end_fields_pass(front: Worker) -> None:
    """All that is not for the next hop, in its order, twice where it was there twice."""
    sent: Fields = [
        ("Accept", "application/json"),
        ("User-Agent", "OpenAI/Python 1.2.3"),
        ("OpenAI-Organization", "org-1"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "one"),
        ("anthropic-beta", "two"),
        ("Accept-Encoding", "gzip, br"),
        ("Cookie", "a=1; b=2"),
        ("x_with_underscore", "kept"),
        ("X-Empty", ""),
        ("X-Name", "caf\xc3\xa9"),
    ]
    seen = await seen_by_upstream(front, *sent)
    names = {name.lower() for name, _ in sent}
    assert [(name, value) for name, value in seen.items() if name.lower() in names] == sent


async def test_nothing_is_made_up(front: Worker) -> None:
    """A client that says nothing of itself is not given a name, a taste or a content type."""
    seen = await seen_by_upstream(front)
    assert not {"User-Agent", "Accept", "Accept-Encoding", "Content-Type", "Cookie"} & set(seen)


async def test_fields_for_the_next_hop_end_here(front: Worker) -> None:
    """RFC 9110, 7.6.1: the known ones, and those that Connection names."""
    seen = await seen_by_upstream(
        front,
        ("Connection", "keep-alive, X-Mine, x-also"),
        ("X-Mine", "1"),
        ("X-Also", "2"),
        ("X-Other", "3"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Proxy-Authorization", "Basic c2VjcmV0"),
        ("Proxy-Connection", "keep-alive"),
        ("X-Request-ID", "same"),
        ("X-Sluice-Request-ID", "mine"),
    )
    gone = {"x-mine", "x-also", "keep-alive", "te", "proxy-authorization", "proxy-connection"}
    assert not gone & {name.lower() for name in seen}
    assert not any(name.lower().startswith("x-sluice") for name in seen)
    assert seen["X-Other"] == "3"


async def test_connection_may_be_said_in_several_lines(worker: Worker) -> None:
    """Then they count together (RFC 9110, 5.3)."""
    seen = await seen_by_upstream(
        worker,
        ("Connection", "keep-alive, X-Mine"),
        ("X-Mine", "1"),
        ("Connection", "X-Also"),
        ("X-Also", "2"),
    )
    assert not {"x-mine", "x-also"} & {name.lower() for name in seen}


async def test_an_upgrade_is_not_passed_on(front: Worker) -> None:
    """The one by which curl offers HTTP/2; the request is answered as if it had not."""
    seen = await seen_by_upstream(
        front,
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
    )
    assert not {"upgrade", "http2-settings"} & {name.lower() for name in seen}


async def test_the_upstream_gets_its_own_host(start_front: StartWorker) -> None:
    """Virtual hosts and TLS at the upstream go by its own name, not by Sluice's."""
    async with Peer(serves(plain())) as peer:
        front = await start_front(upstream_url=peer.url)
        await exchange(front.url, request("GET", "/v1/models", host="sluice.example:8080"))
        hosts = [line for line in peer.heads[0].split(b"\r\n") if line.lower().startswith(b"host:")]
    assert hosts == [b"Host: " + peer.url.removeprefix("http://").encode()]


ADDRESSES = [
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-Host", "llm.example.com"),
    ("X-Real-IP", "203.0.113.7"),
    ("Forwarded", "for=203.0.113.7"),
    ("CF-Connecting-IP", "203.0.113.7"),
    ("True-Client-IP", "203.0.113.7"),
    ("X_Client_IP", "203.0.113.7"),
]


async def test_the_upstream_does_not_learn_who_asks(front: Worker) -> None:
    """Neither an address nor the name that was asked, whoever says it; how it came it may know."""
    seen = await seen_by_upstream(front, ("X-Forwarded-Proto", "https"), *ADDRESSES)
    headers = str(list(seen.items()))
    assert "203.0.113.7" not in headers
    assert "llm.example.com" not in headers
    assert "sluice.test" not in headers
    assert "X-Forwarded-For" not in seen
    assert seen.getall("X-Forwarded-Proto") == ["http"]


async def test_the_upstream_learns_who_asks_where_that_is_set(start_front: StartWorker) -> None:
    """Address, scheme and name that the client used, each once."""
    seen = await seen_by_upstream(await start_front(forward_client_address=True))
    assert seen.getall("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.getall("X-Forwarded-Proto") == ["http"]
    assert seen.getall("X-Forwarded-Host") == ["sluice.test"]


async def test_what_a_trusted_proxy_said_of_the_client_is_kept(start_front: StartWorker) -> None:
    """Behind a TLS proxy the client came by https, under the name that it asked there."""
    front = await start_front(forward_client_address=True, trusted_proxies=("127.0.0.1/32",))
    seen = await seen_by_upstream(front, ("X-Forwarded-Proto", "https"), *ADDRESSES)
    assert seen.getall("X-Forwarded-For") == ["203.0.113.7, 127.0.0.1"]
    assert seen.getall("X-Forwarded-Proto") == ["https"]
    assert seen.getall("X-Forwarded-Host") == ["llm.example.com"]
    assert seen.getall("X-Real-IP") == ["203.0.113.7"]


@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8",)])
async def test_what_anybody_else_says_of_the_client_is_overwritten(
    start_front: StartWorker, trusted: tuple[str, ...]
) -> None:
    """The upstream reads of the connection alone, whatever the client made up."""
    front = await start_front(forward_client_address=True, trusted_proxies=trusted)
    seen = await seen_by_upstream(front, ("X-Forwarded-Proto", "https"), *ADDRESSES)
    assert seen.getall("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.getall("X-Forwarded-Proto") == ["http"]
    assert seen.getall("X-Forwarded-Host") == ["sluice.test"]
    assert "203.0.113.7" not in str(list(seen.items()))


async def test_what_any_connection_field_names_ends_here(front: Worker) -> None:
    """RFC 9110, 7.6.1: several fields of a name are one list."""
    seen = await seen_by_upstream(
        front,
        ("Connection", "keep-alive"),
        ("Connection", "X-Second"),
        ("connection", "X-Third, close"),
        ("X-Second", "2"),
        ("X-Third", "3"),
        ("X-Kept", "1"),
    )
    assert "X-Second" not in seen
    assert "X-Third" not in seen
    assert seen["X-Kept"] == "1"


async def test_a_sane_request_id_goes_all_the_way(front: Worker) -> None:
    """The client's own id is the upstream's and comes back."""
    sent = request("GET", "/v1/echo", fields=[("X-Request-ID", "my-id_1.2")])
    answer = await exchange(front.url, sent)
    assert arrived(answer.json()).getall("X-Request-ID") == ["my-id_1.2"]
    assert answer.headers.getall("X-Request-ID") == ["my-id_1.2"]


@pytest.mark.parametrize("own", [None, "", "x" * 129, "a b", 'quote"', "<script>"])
async def test_no_sane_request_id_is_replaced(front: Worker, own: str | None) -> None:
    """There always is one, the same on all sides; two requests never share it."""
    fields = [] if own is None else [("X-Request-ID", own)]
    first, second = [
        await exchange(front.url, request("GET", "/v1/echo", fields=fields)) for _ in range(2)
    ]
    (upstream_id,) = arrived(first.json()).getall("X-Request-ID")
    assert first.headers.getall("X-Request-ID") == [upstream_id]
    assert upstream_id not in {own, second.headers["X-Request-ID"]}


async def test_the_upstreams_own_request_id_is_kept_under_another_name(front: Worker) -> None:
    """Its support asks for that one."""
    answer = await exchange(front.url, request("GET", "/v1/models"))
    assert answer.headers["X-Upstream-Request-ID"].startswith("req_")


async def test_a_stream_is_asked_for_uncompressed(start_front: StartWorker) -> None:
    """A compressor at the upstream would hold tokens back, whatever the client can read."""
    async with Peer(says(STREAM)) as peer:
        front = await start_front(upstream_url=peer.url)
        sent = ask_chat(fields=[("Accept-Encoding", "gzip")])
        await exchange(front.url, sent)
        assert b"\r\nAccept-Encoding: identity\r\n" in peer.heads[0]


async def test_answers_keep_their_end_to_end_fields(start_front: StartWorker) -> None:
    """Rate limits, Retry-After, cookies and the rest; and those for the next hop end here."""
    sent = [
        ("Content-Type", "application/json; charset=utf-8"),
        ("x-ratelimit-remaining-tokens", "17"),
        ("Retry-After", "7"),
        ("retry-after-ms", "6500"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("ETag", '"v1"'),
        ("Cache-Control", "private, max-age=3"),
        ("openai-processing-ms", "12"),
        ("Content-Encoding", "br"),
        ("Vary", "Accept"),
    ]
    dropped = [
        ("Connection", "X-Mine, keep-alive"),
        ("X-Mine", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Trailer", "X-Later"),
        ("Alt-Svc", 'h3=":443"'),
        ("X-Accel-Redirect", "/etc/passwd"),
        ("X-Accel-Buffering", "yes"),
    ]
    lines = "".join(f"{name}: {value}\r\n" for name, value in [*sent, *dropped])
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + lines.encode() + b"\r\n{}"
    async with Peer(serves(answer)) as peer:
        front = await start_front(upstream_url=peer.url)
        got = await exchange(front.url, request("GET", "/v1/models"))
    names = {name.lower() for name, _ in sent}
    came = [(name.lower(), value) for name, value in got.headers.items()]
    wanted = [(name.lower(), value) for name, value in sent]
    assert sorted(pair for pair in came if pair[0] in names) == sorted(wanted)
    kept = {name.lower() for name in got.headers}
    assert not {name.lower() for name, _ in dropped} - {"connection"} & kept
    assert "X-Mine" not in got.headers.get("Connection", "")
    assert got.body == b"{}"


@pytest.mark.parametrize(
    "upstreams", [b"", b"Cache-Control: public, max-age=60\r\nX-Accel-Buffering: yes\r\n"]
)
async def test_events_tell_whoever_is_in_front_not_to_hold_them(
    start_front: StartWorker, upstreams: bytes
) -> None:
    """Once each, whatever the upstream says of it."""
    answer = STREAM.replace(b"\r\n\r\n", b"\r\n" + upstreams + b"\r\n", 1)
    async with Peer(says(answer)) as peer:
        front = await start_front(upstream_url=peer.url)
        got = await exchange(front.url, ask_chat())
    assert got.headers.getall("Cache-Control") == ["no-cache, no-transform"]
    assert got.headers.getall("X-Accel-Buffering") == ["no"]
    assert "Content-Length" not in got.headers
    assert got.body == DONE

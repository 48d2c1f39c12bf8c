"""Which fields pass, and whose key goes along."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proxy.record import Family
from proxy.upstream.headers import (
    Hop,
    request_headers,
    response_headers,
    with_key,
)

Fields = list[tuple[str, str]]


def through(fields: Fields, hop: Hop | None = None, *, wants_stream: bool = False) -> Fields:
    """Send fields towards an upstream, but for the request id."""
    made = request_headers(CIMultiDict(fields), hop or Hop(), "r1", wants_stream=wants_stream)
    return [pair for pair in made.items() if pair != ("X-Request-ID", "r1")]


@pytest.mark.parametrize(
    "gone",
    [
        ("Connection", "close"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic eA=="),
        ("TE", "trailers"),
        ("Trailer", "X-Sum"),
        ("transfer-ENCODING", "chunked"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABk"),
        ("Content-Length", "3"),
        ("Expect", "100-continue"),
        ("Host", "gateway"),
    ],
)
def test_a_field_for_this_hop_ends_here(gone: tuple[str, str]) -> None:
    """Fields of the hop and of the framing never reach the upstream."""
    assert through([gone, ("X-Kept", "1")]) == [("X-Kept", "1")]


def test_fields_named_in_connection_end_here() -> None:
    """RFC 9110, 7.6.1: whatever Connection lists, in any case and in several lines, goes."""
    fields = [
        ("Connection", "X-One, close"),
        ("connection", "x-two,"),
        ("X-One", "1"),
        ("X-TWO", "2"),
        ("X-Three", "3"),
    ]
    assert through(fields) == [("X-Three", "3")]


def test_the_nginx_in_front_repeats_what_connection_named() -> None:
    """Its own Connection is another one, so it tells the client's apart; that ends here too."""
    fields = [("X-Sluice-Connection", "X-Mine, close"), ("X-Mine", "1"), ("Accept", "*/*")]
    assert through(fields) == [("Accept", "*/*")]


def test_a_client_cannot_hide_its_address_by_naming_it() -> None:
    """What a proxy in front said of the client stays, whatever the client's Connection lists."""
    fields = [("X-Sluice-Connection", "X-Forwarded-For"), ("X-Forwarded-For", "1.1.1.1")]
    assert through(fields) == [("X-Forwarded-For", "1.1.1.1")]


def test_repeated_fields_keep_their_order_and_case() -> None:
    """End-to-end fields pass as they were written."""
    fields = [("x-a", "1"), ("Accept", "*/*"), ("X-A", "2")]
    assert through(fields) == fields


def test_a_stream_is_asked_for_in_the_clear() -> None:
    """Only for streams; what a client accepts otherwise is its own business."""
    fields = [("Accept-Encoding", "gzip"), ("accept-encoding", "br")]
    assert through(fields, wants_stream=True) == [("Accept-Encoding", "identity")]
    assert through(fields) == fields


@pytest.mark.parametrize(
    ("before", "hop", "after"),
    [
        ([], Hop(), []),
        ([], Hop("10.0.0.9"), [("X-Forwarded-For", "10.0.0.9")]),
        (
            [("X-Forwarded-For", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")],
            Hop("10.0.0.9"),
            [("X-Forwarded-For", "1.1.1.1, 2.2.2.2, 10.0.0.9")],
        ),
        ([("X-Forwarded-For", "1.1.1.1")], Hop(), [("X-Forwarded-For", "1.1.1.1")]),
        (
            [("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "forged")],
            Hop(scheme="http", host="gateway"),
            [("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "gateway")],
        ),
        ([("X-Forwarded-Proto", "https")], Hop(), [("X-Forwarded-Proto", "https")]),
    ],
)
def test_the_way_here_is_told(before: Fields, hop: Hop, after: Fields) -> None:
    """The nearer address is appended; scheme and host are replaced where they are known."""
    assert through(before, hop) == after


def test_the_upstream_need_not_learn_who_the_client_is() -> None:
    """Neither what others said of it nor what Sluice knows; how it came is no secret."""
    address_fields = [
        ("X-Forwarded-For", "1.1.1.1"),
        ("Forwarded", "for=1.1.1.1"),
        ("x_real_ip", "1.1.1.1"),
    ]
    hop = Hop("10.0.0.9", "https", "gateway", tells_client=False)
    assert through([*address_fields, ("X-Kept", "1")], hop) == [
        ("X-Kept", "1"),
        ("X-Forwarded-Proto", "https"),
    ]


def test_the_request_id_is_one() -> None:
    """The gateway's id replaces whatever the client wrote."""
    made = request_headers(
        CIMultiDict({"x-request-id": "bad\tone"}), Hop(), "r1", wants_stream=False
    )
    assert made.getall("X-Request-ID") == ["r1"]


CLIENT = CIMultiDict(
    [
        ("Authorization", "Bearer client"),
        ("X-Api-Key", "client"),
        ("api-key", "client"),
        ("x-goog-api-key", "client"),
        ("X-Kept", "1"),
    ]
)


@pytest.mark.parametrize(
    ("family", "path", "more", "field"),
    [
        (Family.CHAT, "/v1/chat/completions", {}, ("Authorization", "Bearer own")),
        (Family.UNKNOWN, "/v1/files", {}, ("Authorization", "Bearer own")),
        (Family.MESSAGES, "/v1/messages", {}, ("x-api-key", "own")),
        (Family.UNKNOWN, "/v1/models", {"Anthropic-Version": "2023-06-01"}, ("x-api-key", "own")),
        (Family.GEMINI, "/v1/models/g:streamGenerateContent", {}, ("x-goog-api-key", "own")),
        (Family.UNKNOWN, "/v1beta/models", {}, ("x-goog-api-key", "own")),
        (Family.CHAT, "/v1beta/openai/chat/completions", {}, ("Authorization", "Bearer own")),
    ],
)
def test_an_own_key_goes_in_the_familys_field_and_the_clients_never(
    family: Family, path: str, more: dict[str, str], field: tuple[str, str]
) -> None:
    """One credential leaves, and it is the upstream's own."""
    headers = CLIENT.copy()
    headers.extend(more)
    made = with_key(headers, "own", family, path)
    assert "client" not in "".join(made.values())
    assert field in made.items()
    assert len(made) == 2 + len(more)


def test_an_answers_own_fields_pass() -> None:
    """What the upstream says end to end goes on, its request id under a name of its own."""
    upstream = CIMultiDict(
        [
            ("Content-Type", "application/json"),
            ("Content-Length", "2"),
            ("Content-Encoding", "gzip"),
            ("Retry-After", "3"),
            ("x-ratelimit-remaining-requests", "0"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("x-request-id", "theirs"),
        ]
    )
    made = list(response_headers(upstream, rewritten=False).items())
    assert made == [*list(upstream.items())[:-1], ("X-Upstream-Request-ID", "theirs")]


@pytest.mark.parametrize(
    "gone",
    [
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Transfer-Encoding", "chunked"),
        ("Trailer", "X-Sum"),
        ("Proxy-Authenticate", "Basic"),
        ("Upgrade", "h2"),
        ("Alt-Svc", 'h3=":443"'),
        ("Access-Control-Allow-Origin", "*"),
        ("access-control-expose-headers", "x"),
        ("X-Accel-Redirect", "/etc"),
        ("x-accel-buffering", "yes"),
    ],
)
def test_an_answers_field_for_this_hop_ends_here(gone: tuple[str, str]) -> None:
    """Nor do fields pass that would speak for the gateway or give orders to its nginx."""
    upstream = CIMultiDict([gone, ("X-Kept", "1")])
    assert list(response_headers(upstream, rewritten=False).items()) == [("X-Kept", "1")]


def test_a_rewritten_body_loses_length_and_coding() -> None:
    """An event stream may grow or shrink on its way, so nothing is promised about it."""
    upstream = CIMultiDict({"Content-Length": "2", "Content-Encoding": "gzip", "X-Kept": "1"})
    assert list(response_headers(upstream, rewritten=True).items()) == [("X-Kept", "1")]


def test_control_characters_do_not_pass() -> None:
    """A value that no strict writer would send is made harmless instead of failing the answer."""
    made = response_headers(CIMultiDict({"X-A": "a\x01b\r\nc\td"}), rewritten=False)
    assert made["X-A"] == "a b  c\td"

"""A call in one upstream's own words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from multidict import CIMultiDict

from proxy.errors import BadRequest
from proxy.record import Family, RequestRecord
from proxy.upstream.body_edit import BodyEdit
from proxy.upstream.call import Call, outgoing_request
from proxy.upstream.targets import Target
from proxy.upstream.upstream_url import BaseUrl

RECORD = RequestRecord("r1", "POST", "/v1/messages", Family.MESSAGES, 0.0, model="claude")
CALL = Call(
    RECORD,
    "/v1/messages?beta=true&key=client",
    CIMultiDict({"x-api-key": "client", "X-Kept": "1"}),
    b'{"model": "claude"}',
)
PLAIN = Target("a", BaseUrl.of("https://h/v1"))


def test_without_own_settings_the_call_goes_as_it_is() -> None:
    """The client's key, path, query and body, byte for byte."""
    outgoing = outgoing_request(CALL, PLAIN)
    assert outgoing.url == "https://h/v1/messages?beta=true&key=client"
    assert outgoing.headers == CALL.headers
    assert outgoing.body == CALL.body


def test_an_own_key_replaces_every_key_of_the_clients() -> None:
    """In headers and query."""
    outgoing = outgoing_request(CALL, replace(PLAIN, api_key="own"))
    assert outgoing.url == "https://h/v1/messages?beta=true"
    assert dict(outgoing.headers) == {"X-Kept": "1", "x-api-key": "own"}


def test_a_gateway_key_goes_nowhere() -> None:
    """Where clients have keys for the gateway and the upstream needs none."""
    outgoing = outgoing_request(CALL, replace(PLAIN, forgets_client=True))
    assert outgoing.url == "https://h/v1/messages?beta=true"
    assert dict(outgoing.headers) == {"X-Kept": "1"}


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/v1/messages", "https://h/v1/messages"),
        ("/v1beta/models/claude:generate", "https://h/v1beta/models/other:generate"),
    ],
)
def test_a_model_gets_its_own_name_in_body_and_path(path: str, url: str) -> None:
    """Only the model that was asked for."""
    outgoing = outgoing_request(
        replace(CALL, path=path), replace(PLAIN, rename={"claude": "other"})
    )
    assert (outgoing.url, outgoing.body) == (url, b'{"model": "other"}')
    same = outgoing_request(replace(CALL, path=path), replace(PLAIN, rename={"x": "other"}))
    assert same.body == CALL.body


def test_usage_and_name_together() -> None:
    """What is added moves nothing that is replaced, on either side of it."""
    body = b'{"a":"\xc3\xa9","model":"m","stream_options":{}, "model" :"m"}'
    options = BodyEdit(body.index(b"{}"), body.index(b"{}") + 2, b'{"include_usage":true}')
    called = replace(CALL, record=replace(RECORD, model="m"), body=body, added_usage=options)
    target = replace(PLAIN, rename={"m": "other"})
    expected = b'{"a":"\xc3\xa9","model":"other","stream_options":%s, "model" :"other"}'
    assert outgoing_request(called, target).body == expected % b'{"include_usage":true}'
    assert outgoing_request(called.without_added_usage(), target).body == expected % b"{}"
    places = replace(called, names_model=((18, 21),))
    assert body[18:21] == b'"m"'
    assert outgoing_request(places, target).body.count(b'"other"') == 1


def test_nothing_of_a_large_body_is_copied() -> None:
    """For another name and for usage alike: what goes out are views of the client's own."""
    called = replace(CALL, added_usage=BodyEdit(1, 1, b'"x":1,'))
    outgoing = outgoing_request(called, replace(PLAIN, rename={"claude": "other"}))
    assert outgoing.body == b'{"x":1,"model": "other"}'
    assert sum(piece.obj is CALL.body for piece in outgoing.pieces) == 3


def test_a_call_can_be_prepared_again() -> None:
    """What one upstream needs leaves nothing behind for the next."""
    before = CALL.headers.copy()
    outgoing_request(CALL, replace(PLAIN, api_key="own", rename={"claude": "x"}))
    assert before == CALL.headers


def test_a_path_that_leaves_the_base_is_refused() -> None:
    """Before anything is sent."""
    with pytest.raises(BadRequest):
        outgoing_request(replace(CALL, path="/v1/../admin"), PLAIN)

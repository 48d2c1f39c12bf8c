"""What is kept of a request while it is here."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from proxy.edge.request_context import RequestContext
from proxy.errors import IdleTimeout
from proxy.record import EndedBy, Family


def context(**headers: str) -> RequestContext:
    return RequestContext.of(make_mocked_request("POST", "/v1/messages?a=b", headers=headers))


@pytest.mark.parametrize("sane", ["req-1", "A.b_c-9", "x" * 128])
def test_a_sane_request_id_is_kept(sane: str) -> None:
    """The client's own id goes all the way."""
    assert context(**{"X-Request-ID": sane}).record.request_id == sane


@pytest.mark.parametrize("odd", ["", "a b", "x" * 129, "é", 'a"b', "a,b"])
def test_any_other_is_replaced(odd: str) -> None:
    """An id that could break a log line or a header is not taken over."""
    made = context(**{"X-Request-ID": odd}).record.request_id
    assert made != odd
    assert len(made) == 32


def test_the_route_is_understood_without_its_query() -> None:
    """Family and label come from the path alone."""
    record = context().record
    assert (record.family, record.route) == (Family.MESSAGES, "/v1/messages")


def test_a_client_that_left_is_the_outcome() -> None:
    """Whatever ended the upstream's work afterwards; and the time of leaving is the first one."""
    request = context()
    request.record_client_left()
    left = request.record.client_left_at
    request.record_error(IdleTimeout("Silent."))
    request.record_client_left()
    request.record_end()
    assert request.record.ended_by is EndedBy.CLIENT_LEFT
    assert request.record.client_left_at == left
    assert request.record.status == 499


def test_an_error_is_the_outcome() -> None:
    """Its code and its outcome are kept."""
    request = context()
    request.record_error(IdleTimeout("Silent."))
    request.record_end()
    assert (request.record.ended_by, request.record.error) == (EndedBy.IDLE_TIMEOUT, "idle_timeout")

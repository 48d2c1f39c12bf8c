"""Where a reader goes on: what is no cursor is refused, for to begin anew shows events twice."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from proxy.edge.cursor import (
    Cursor,
    cursor_of,
    last_event,
    number,
    says_yes,
    stream_id,
    wants_progress,
)
from proxy.edge.stream_errors import StreamNotFound
from proxy.errors import BadRequest

STREAM, OTHER = "0123456789abcdef" * 2, "f" * 32


@pytest.mark.parametrize(
    ("query", "headers", "cursor"),
    [
        ("", {}, Cursor()),
        ("?after=7", {}, Cursor(7)),
        ("?after=0&ids=1", {}, Cursor(0, ids=True)),
        ("?ids=true&after=999999999999999", {}, Cursor(999_999_999_999_999, ids=True)),
        ("", {"Last-Event-ID": f"{STREAM}:3"}, Cursor(3, ids=True)),
        ("?after=7", {"Last-Event-ID": f" {STREAM}:3 "}, Cursor(3, ids=True)),
        ("?after=7", {"Last-Event-ID": ""}, Cursor(7)),
    ],
)
def test_where_to_go_on(query: str, headers: dict[str, str], cursor: Cursor) -> None:
    """A browser's own event id goes before the number in a URL that it repeats."""
    assert cursor_of(make_mocked_request("GET", f"/{query}", headers=headers), STREAM) == cursor


EVENT_SOURCE = {
    "Accept": "text/event-stream",
    "Cache-Control": "no-cache",
    "Sec-Fetch-Mode": "cors",
}


@pytest.mark.parametrize("query", ["", "?progress=1"])
def test_a_browser_connects_for_the_first_time(query: str) -> None:
    """It gets ids unasked: without them it would begin anew after every reconnect."""
    request = make_mocked_request("GET", f"/{query}", headers=EVENT_SOURCE)
    assert cursor_of(request, STREAM) == Cursor(0, ids=True)


@pytest.mark.parametrize(
    ("query", "cursor"),
    [("?after=7", Cursor(7)), ("?ids=0", Cursor()), ("?after=7&ids=0", Cursor(7))],
)
def test_a_browsers_page_that_counts_for_itself(query: str, cursor: Cursor) -> None:
    """What the URL says about the cursor goes before any guess."""
    request = make_mocked_request("GET", f"/{query}", headers=EVENT_SOURCE)
    assert cursor_of(request, STREAM) == cursor


@pytest.mark.parametrize("missing", EVENT_SOURCE)
def test_a_client_that_is_no_event_source(missing: str) -> None:
    """A fetch or an SDK gets the upstream's bytes without ids, though it may send some of these."""
    headers = {name: value for name, value in EVENT_SOURCE.items() if name != missing}
    assert cursor_of(make_mocked_request("GET", "/", headers=headers), STREAM) == Cursor()


@pytest.mark.parametrize(
    "header",
    [
        "x",
        "3",
        f"{STREAM}:",
        f"{STREAM}:-1",
        f"{STREAM}:1e3",
        f"{STREAM}:" + "1" * 16,
        f"{OTHER}:3",
    ],
)
def test_an_event_id_of_no_event_here(header: str) -> None:
    """It is another stream's, or nobody's."""
    with pytest.raises(StreamNotFound):
        cursor_of(make_mocked_request("GET", "/", headers={"Last-Event-ID": header}), STREAM)


def test_two_event_ids_at_once() -> None:
    """Nobody can tell which of them the client has seen last."""
    headers = CIMultiDict([("Last-Event-ID", f"{STREAM}:3"), ("Last-Event-ID", f"{STREAM}:5")])
    with pytest.raises(StreamNotFound):
        cursor_of(make_mocked_request("GET", "/", headers=headers), STREAM)


@pytest.mark.parametrize(
    "query",
    ["after=", "after=-1", "after=1.5", "after=%2B1", "after=1&after=2", "after=" + "9" * 16],
)
def test_what_is_no_number_of_events(query: str) -> None:
    """It is said by its name, and nothing is guessed."""
    with pytest.raises(BadRequest, match="after"):
        number(make_mocked_request("GET", f"/?{query}"), "after")


@pytest.mark.parametrize("digits", ["\u0661", "\uff11"])
def test_digits_of_other_scripts_are_no_number(digits: str) -> None:
    """Python would read them; the protocol does not."""
    with pytest.raises(BadRequest):
        number(make_mocked_request("GET", f"/?after={digits}"), "after")


@pytest.mark.parametrize(
    "text", ["", "0" * 31, "0" * 33, "G" * 32, "A" * 32, "../" + "0" * 29, "0" * 32 + "\n"]
)
def test_what_cannot_be_a_streams_id(text: str) -> None:
    """The same answer as for one that is not there; nothing of it reaches the store."""
    with pytest.raises(StreamNotFound):
        stream_id(text)


def test_what_can_be_a_streams_id() -> None:
    """Sixteen bytes in lower hexadecimal digits."""
    assert stream_id(STREAM) == STREAM
    assert last_event(make_mocked_request("GET", "/")) is None


@pytest.mark.parametrize(
    ("header", "yes"),
    [("1", True), ("TRUE", True), ("yes", True), ("0", False), ("", False), ("on", False)],
)
def test_what_switches_on(header: str, yes: bool) -> None:
    """In the query as in a header."""
    request = make_mocked_request("GET", f"/?progress={header}")
    assert says_yes(request, "progress") is wants_progress(request) is yes
    by_header = make_mocked_request("GET", "/", headers={"Sluice-Progress": f" {header} "})
    assert wants_progress(by_header) is yes

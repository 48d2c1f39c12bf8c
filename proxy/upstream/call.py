"""A call to an upstream, and its translation for a particular one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proxy.upstream.body_edit import BodyEdit, edited
from proxy.upstream.credentials import without_credentials, without_key_parameter
from proxy.upstream.headers import with_key
from proxy.upstream.model_rename import rename_edits, rename_path
from proxy.upstream.upstream_url import locate

if TYPE_CHECKING:
    from multidict import CIMultiDict

    from proxy.json_members import Place
    from proxy.record import RequestRecord
    from proxy.upstream.targets import Target


@dataclass(frozen=True, slots=True)
class Call:
    """One request, independent of the upstream; it can be sent again."""

    record: RequestRecord
    """The request's record, which has its method, its model and its family."""
    path: str
    """The client's raw path and query."""
    headers: CIMultiDict[str]
    """End-to-end fields only, as built by `headers.request_headers`."""
    body: bytes = b""
    """The client's body, unchanged."""
    added_usage: BodyEdit | None = None
    """The edit of the body that requests usage on Sluice's behalf."""
    upstream: str = ""
    """The name of a preferred upstream; empty for none."""
    names_model: tuple[Place, ...] | None = None
    """Where the body names the model; None if unknown."""

    def without_added_usage(self) -> Call:
        """Return the call as the client wrote it."""
        return self if self.added_usage is None else replace(self, added_usage=None)


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A call translated for one upstream."""

    url: str
    headers: CIMultiDict[str]
    pieces: tuple[memoryview, ...]
    """The body, in consecutive pieces."""

    @property
    def body(self) -> bytes:
        """The body in one piece."""
        return b"".join(self.pieces)


def outgoing_request(call: Call, target: Target) -> OutgoingRequest:
    """Translate the call for this upstream: its URL, its key, its name for the model.

    Raises `BadRequest` for a path that cannot be sent, or a model that cannot be renamed.
    """
    record, path, headers = call.record, call.path, call.headers
    edits: tuple[BodyEdit, ...] = () if call.added_usage is None else (call.added_usage,)
    if target.api_key:
        headers = with_key(headers, target.api_key, record.family, path)
        path = without_key_parameter(path)
    elif target.forgets_client:
        headers = without_credentials(headers)
        path = without_key_parameter(path)
    if model := target.rename.get(record.model):
        path = rename_path(path, record.model, model)
        edits += rename_edits(call.body, call.names_model, model)
    return OutgoingRequest(locate(target.base, path), headers, edited(call.body, edits))

"""What is asked of an upstream, and how it goes on the wire there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proxy.record import Family
from proxy.upstream.address import locate
from proxy.upstream.credentials import without_credentials, without_key_parameter
from proxy.upstream.headers import with_key
from proxy.upstream.rename import rename_body, rename_path

if TYPE_CHECKING:
    from multidict import CIMultiDict

    from proxy.upstream.targets import Target
    from proxy.upstream.usage import Added


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an upstream, whichever it will be; it can be sent again."""

    method: str
    path: str
    """As the client wrote it: raw, with its raw query."""
    headers: CIMultiDict[str]
    """End-to-end fields only, as `headers.request_headers` makes them."""
    body: bytes = b""
    model: str = ""
    """The model asked for; empty if the request names none."""
    family: Family = Family.UNKNOWN
    added_usage: Added | None = None
    """Where the body asks for usage on the client's behalf."""
    upstream: str = ""
    """Name of the upstream that goes before all others that serve the model; empty: none does."""

    def without_added_usage(self) -> Call:
        """The same as the client asked it."""
        if self.added_usage is None:
            return self
        return replace(self, body=self.added_usage.undone(self.body), added_usage=None)


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A call as it goes to one upstream."""

    url: str
    headers: CIMultiDict[str]
    body: bytes


def outgoing_request(call: Call, target: Target) -> OutgoingRequest:
    """Put the call into this upstream's words: its address, its key, its name for the model.

    Raises `BadRequest` for a path that cannot be sent.
    """
    path, headers, body = call.path, call.headers, call.body
    if target.api_key:
        headers = with_key(headers, target.api_key, call.family, path)
        path = without_key_parameter(path)
    elif target.forgets_client:
        headers = without_credentials(headers)
        path = without_key_parameter(path)
    if model := target.rename.get(call.model):
        path = rename_path(path, call.model, model)
        body = rename_body(body, model)
    return OutgoingRequest(locate(target.base, path), headers, body)

"""What is asked of an upstream, and how it goes on the wire there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proxy.record import Family
from proxy.upstream.address import locate
from proxy.upstream.credentials import without_credentials, without_key_parameter
from proxy.upstream.edit import Edit, edited
from proxy.upstream.headers import with_key
from proxy.upstream.rename import rename_edits, rename_path

if TYPE_CHECKING:
    from multidict import CIMultiDict

    from proxy.members import Place
    from proxy.upstream.targets import Target


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an upstream, whichever it will be; it can be sent again."""

    method: str
    path: str
    """As the client wrote it: raw, with its raw query."""
    headers: CIMultiDict[str]
    """End-to-end fields only, as `headers.request_headers` makes them."""
    body: bytes = b""
    """As the client wrote it."""
    model: str = ""
    """The model asked for; empty if the request names none."""
    family: Family = Family.UNKNOWN
    added_usage: Edit | None = None
    """What has the body ask for usage on the client's behalf."""
    upstream: str = ""
    """Name of the upstream that goes before all others that serve the model; empty: none does."""
    names_model: tuple[Place, ...] | None = None
    """Where the body names the model; None: nobody has looked."""

    def without_added_usage(self) -> Call:
        """The same as the client asked it."""
        return self if self.added_usage is None else replace(self, added_usage=None)


@dataclass(frozen=True, slots=True)
class OutgoingRequest:
    """A call as it goes to one upstream."""

    url: str
    headers: CIMultiDict[str]
    pieces: tuple[memoryview, ...]
    """The body, in pieces that follow each other."""

    @property
    def body(self) -> bytes:
        """The body in one piece."""
        return b"".join(self.pieces)


def outgoing_request(call: Call, target: Target) -> OutgoingRequest:
    """Put the call into this upstream's words: its address, its key, its name for the model.

    Raises `BadRequest` for a path that cannot be sent, or a model that cannot be replaced.
    """
    path, headers = call.path, call.headers
    edits: tuple[Edit, ...] = () if call.added_usage is None else (call.added_usage,)
    if target.api_key:
        headers = with_key(headers, target.api_key, call.family, path)
        path = without_key_parameter(path)
    elif target.forgets_client:
        headers = without_credentials(headers)
        path = without_key_parameter(path)
    if model := target.rename.get(call.model):
        path = rename_path(path, call.model, model)
        edits += rename_edits(call.body, call.names_model, model)
    return OutgoingRequest(locate(target.base, path), headers, edited(call.body, edits))

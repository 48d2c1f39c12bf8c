"""Filters upstreams' lists of models (OpenAI, Anthropic, Gemini) by what a key may use."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict

from proxy.edge.key_rights import may_use
from proxy.errors import Overloaded, UpstreamInvalid
from proxy.upstream.buffered_response import BufferedResponse

if TYPE_CHECKING:
    from proxy.edge.body_memory import Hold
    from proxy.key_settings import KeySettings
    from proxy.upstream.call import Call
    from proxy.upstream.response import UpstreamResponse

_LIST = re.compile(r"/(?:[^/?]+/)*models/?(?:\?.*)?")
_LARGEST_BYTES = 8 * 1024 * 1024


def is_listed(key: KeySettings, call: Call) -> bool:
    """Whether the call asks for a list of models and the key is restricted to some."""
    return (
        "*" not in key.models
        and call.record.method in {"GET", "HEAD"}
        and _LIST.fullmatch(call.path) is not None
    )


async def only_allowed(
    key: KeySettings, response: UpstreamResponse, hold: Hold
) -> UpstreamResponse:
    """Return the upstream's list without models the key may not use; pass errors unchanged.

    Raises `UpstreamInvalid` for a list that cannot be parsed, and `Overloaded` without memory.
    """
    if response.status != 200:
        return response
    try:
        body = bytearray()
        part = response.first or await response.read()
        while part:
            if not hold.has_room(len(part)):
                raise Overloaded("There is no memory for the list of models.", retry_after=5.0)
            body += part
            if len(body) > _LARGEST_BYTES:
                raise UpstreamInvalid(f"The list of models exceeds {_LARGEST_BYTES} bytes.")
            part = await response.read()
    finally:
        response.close()
    return _filtered(key, response, bytes(body))


def _filtered(key: KeySettings, response: UpstreamResponse, body: bytes) -> BufferedResponse:
    if body:
        try:
            listed = json.loads(body)
        except ValueError:
            raise UpstreamInvalid("The list of models is not JSON.") from None
        body = json.dumps(_allowed(key, listed), ensure_ascii=False).encode()
    headers = CIMultiDict(response.headers)
    headers.popall("ETag", None)
    headers["Content-Length"] = str(len(body))
    return BufferedResponse.of(response, headers, body)


def _allowed(key: KeySettings, listed: Any) -> dict[str, Any]:
    if not isinstance(listed, dict):
        raise UpstreamInvalid("The list of models has an unknown format.")
    is_list = False
    for member in ("data", "models"):
        entries = listed.get(member)
        if isinstance(entries, list):
            is_list = True
            listed[member] = [entry for entry in entries if may_use(key, _name(entry))]
    if not is_list:
        raise UpstreamInvalid("The list of models has an unknown format.")
    if "first_id" in listed and not listed.get("has_more"):
        # Anthropic's pagination cursors.
        ids = [entry.get("id") for entry in listed.get("data", [])]
        listed["first_id"], listed["last_id"] = (ids[0], ids[-1]) if ids else (None, None)
    return listed


def _name(entry: Any) -> str:
    if not isinstance(entry, dict):
        return ""
    name = entry.get("id") or entry.get("name") or entry.get("model") or ""
    return str(name).removeprefix("models/")

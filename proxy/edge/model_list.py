"""Lists of models, with only those that a key may use: OpenAI's, Anthropic's and Gemini's."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict

from proxy.edge.rights import may_use
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
    """Whether the call asks for a list of models, of which the key may see a part."""
    return (
        "*" not in key.models
        and call.method in {"GET", "HEAD"}
        and _LIST.fullmatch(call.path) is not None
    )


async def only_allowed(
    key: KeySettings, response: UpstreamResponse, hold: Hold
) -> UpstreamResponse:
    """The upstream's list without what the key may not use; an error goes on as it is.

    Raises `UpstreamInvalid` for a list that cannot be read, since it is not shown whole, and
    `Overloaded` where there is no memory for it.
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
                raise UpstreamInvalid("The list of models is too long to be looked through.")
            part = await response.read()
    finally:
        response.close()
    return _filtered(key, response, bytes(body))


def _filtered(key: KeySettings, response: UpstreamResponse, body: bytes) -> BufferedResponse:
    if body:
        try:
            listed = json.loads(body)
        except ValueError:
            raise UpstreamInvalid("The list of models cannot be read.") from None
        body = json.dumps(_allowed(key, listed), ensure_ascii=False).encode()
    headers = CIMultiDict(response.headers)
    headers.popall("ETag", None)
    headers["Content-Length"] = str(len(body))
    return BufferedResponse.of(response, headers, body)


def _allowed(key: KeySettings, listed: Any) -> dict[str, Any]:
    if not isinstance(listed, dict):
        raise UpstreamInvalid("The list of models is none that is known.")
    found = False
    for member in ("data", "models"):
        entries = listed.get(member)
        if isinstance(entries, list):
            found = True
            listed[member] = [one for one in entries if may_use(key, _name(one))]
    if not found:
        raise UpstreamInvalid("The list of models is none that is known.")
    if "first_id" in listed and not listed.get("has_more"):
        # Anthropic's: the ends of the page, which are the next request's cursor.
        ids = [one.get("id") for one in listed.get("data", [])]
        listed["first_id"], listed["last_id"] = (ids[0], ids[-1]) if ids else (None, None)
    return listed


def _name(entry: Any) -> str:
    if not isinstance(entry, dict):
        return ""
    name = entry.get("id") or entry.get("name") or entry.get("model") or ""
    return str(name).removeprefix("models/")

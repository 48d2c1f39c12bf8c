"""Puts an upstream's own name for a model where the client wrote another."""

from __future__ import annotations

import json
from urllib.parse import quote, unquote

import msgspec

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def rename_body(body: bytes, model: str) -> bytes:
    """The JSON object with the top-level `model` replaced, if it has one.

    Members are kept as they were written; only the white space between them goes. A body that
    is no JSON object is returned as it is: it names no model that could be found safely.
    """
    try:
        members = _MEMBERS.decode(body)
    except msgspec.MsgspecError:
        return _rename_lenient(body, model)
    if "model" not in members:
        return body
    members["model"] = msgspec.Raw(msgspec.json.encode(model))
    return msgspec.json.encode(members)


def _rename_lenient(body: bytes, model: str) -> bytes:
    """The same for what a browser's JSON may hold: halves of surrogate pairs, and NaN."""
    try:
        members = json.loads(body)
    except ValueError:
        return body
    if not isinstance(members, dict) or "model" not in members:
        return body
    return json.dumps({**members, "model": model}, separators=(",", ":")).encode()


def rename_path(path: str, old: str, new: str) -> str:
    """The raw path with the model in `…/models/{model}` or `…/models/{model}:verb` replaced."""
    bare, mark, query = path.partition("?")
    head, models, tail = bare.partition("/models/")
    name, slash, rest = tail.partition("/")
    verb = ""
    if unquote(name) != old:
        name, colon, verb = name.rpartition(":")
        verb = colon + verb
    if not models or unquote(name) != old:
        return path
    return f"{head}{models}{quote(new, safe='')}{verb}{slash}{rest}{mark}{query}"

"""Replaces the client's model name by the upstream's."""

from __future__ import annotations

from urllib.parse import quote, unquote

import msgspec

from proxy import json_members
from proxy.errors import BadRequest
from proxy.json_members import Place
from proxy.upstream.body_edit import BodyEdit


class _Named(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw()


_NAMED = msgspec.json.Decoder(_Named)


def rename_edits(body: bytes, places: tuple[Place, ...] | None, model: str) -> tuple[BodyEdit, ...]:
    """Return the edits that replace a body's top-level `model`.

    `places` are its positions; None to search for them here, which is rare. A body that is not a
    JSON object is not edited. Raises `BadRequest` if the model is named too often.
    """
    if places is None:
        places = _places(body)
    name = msgspec.json.encode(model)
    return tuple(BodyEdit(start, end, name) for start, end in places)


def _places(body: bytes) -> tuple[Place, ...]:
    try:
        json_members.read(body, _NAMED)
    except BadRequest:
        return ()
    return json_members.places_of(body, "model", _NAMED)


def rename_path(path: str, old: str, new: str) -> str:
    """Replace the model in a raw path `…/models/{model}` or `…/models/{model}:verb`."""
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

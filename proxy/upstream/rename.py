"""Puts an upstream's own name for a model where the client wrote another."""

from __future__ import annotations

from urllib.parse import quote, unquote

import msgspec

from proxy import members
from proxy.errors import BadRequest
from proxy.members import Place
from proxy.upstream.edit import Edit


class _Named(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw()


_NAMED = msgspec.json.Decoder(_Named)


def rename_edits(body: bytes, places: tuple[Place, ...] | None, model: str) -> tuple[Edit, ...]:
    """What puts the name where a body has its top-level `model`; all else stays as it is.

    `places` are where it stands; None: nobody has looked, which is rare and so done here. A body
    that is no JSON object names no model that could be found safely. Raises `BadRequest` where it
    is named too often.
    """
    if places is None:
        places = _places(body)
    name = msgspec.json.encode(model)
    return tuple(Edit(start, end, name) for start, end in places)


def _places(body: bytes) -> tuple[Place, ...]:
    try:
        members.read(body, _NAMED)
    except BadRequest:
        return ()
    return members.places_of(body, "model", _NAMED)


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

"""Finds the models that a request names, and checks that its key may use them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from proxy import json_members
from proxy.edge.key_rights import refusal
from proxy.errors import BadRequest
from proxy.limit_errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from multidict import MultiMapping

    from proxy.edge.request_context import RequestContext
    from proxy.key_settings import KeySettings

_IN_PATH = re.compile(r"/(?:models|tunedModels|deployments|engines)/([^/:?]+)")
"""OpenAI's and Gemini's `models/{id}`, Azure's deployments, OpenAI's old engines."""
_IN_FORM = re.compile(
    rb'^content-disposition:[^\r\n]*\bname="?model"?(?:[;\r\n]).*?\r?\n\r?\n([^\r\n]*)',
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
_LONGEST_NAME_BYTES = 4096


class _Named(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw()


_NAMED = msgspec.json.Decoder(_Named)


def check_rights(key: KeySettings, context: RequestContext) -> None:
    """Raise `Forbidden` if the key may not call the route, or use a model that is named."""
    request = context.request
    # Check the raw and the decoded path: an upstream may read either.
    paths = dict.fromkeys((request.rel_url.raw_path, request.rel_url.path))
    for path in paths:
        _refuse(refusal(key, path, None))
    if "*" in key.models:
        return
    path = request.rel_url.path
    models = list(dict.fromkeys(_named(context)))
    for model in models:
        _refuse(refusal(key, path, model))
    if not models and context.route.understood and request.method == "POST":
        allowed = ", ".join(key.models)
        raise Forbidden(f"The request names no model; this API key may use {allowed}.")


def _refuse(reason: str | None) -> None:
    if reason is not None:
        raise Forbidden(reason)


def _named(context: RequestContext) -> Iterator[str]:
    request, call = context.request, context.call
    if context.record.model:
        yield context.record.model
    for model in _IN_PATH.findall(request.rel_url.raw_path):
        yield unquote(model)
    yield from request.query.getall("model", ())
    if call is not None and call.body and not context.route.understood:
        yield from _in_body(request.headers, call.body)


def _in_body(headers: MultiMapping[str], body: bytes) -> Iterator[str]:
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    encoding = headers.get("Content-Encoding", "identity")
    if content_type == "multipart/form-data":
        yield from (value.decode(errors="replace").strip() for value in _IN_FORM.findall(body))
        return
    if encoding.strip().lower() != "identity":
        raise Forbidden("The model cannot be checked, because the body is compressed.")
    try:
        named = json_members.read(body, _NAMED)
    except BadRequest:
        return
    if model := json_members.text_of(named.model, _LONGEST_NAME_BYTES):
        yield model

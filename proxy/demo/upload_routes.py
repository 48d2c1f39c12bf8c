"""The routes for uploads, and the echo: they report what arrived, so that a proxy can be tested."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.http_exceptions import BadHttpMessage
from aiohttp.multipart import BodyPartReader

from proxy.demo.demo_response import answer
from proxy.demo.families.family import OPENAI
from proxy.demo.families.transcripts import TRANSCRIPTS
from proxy.demo.generation_request import InvalidRequestError
from proxy.demo.generation_routes import generate
from proxy.demo.request_body import digest

if TYPE_CHECKING:
    from proxy.demo.demo_response import DemoResponse
    from proxy.demo.request_handler import RequestContext

_CREATED = 1_767_225_600
_READ = 256 * 1024
_LONGEST_FIELD = 4096


async def echo(context: RequestContext) -> DemoResponse:
    """Answer with the request: method, raw target, headers, and the body's length and SHA-256."""
    request = context.request
    size, hashed = await digest(request, context.plan, context.call)
    document: dict[str, Any] = {
        "method": request.method,
        "target": request.raw_path,
        "http_version": f"{request.version.major}.{request.version.minor}",
        "headers": [
            [name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers
        ],
        "body": {"bytes": size, "sha256": hashed},
    }
    return context.fault_response() or answer(context.plan, OPENAI, context.caller, document)


async def transcription(context: RequestContext) -> DemoResponse:
    """Answer an audio upload as a transcription; without streaming, its text is the digest."""
    parts = await _parts(context)
    fields = {part["name"]: part["text"] for part in parts if part["filename"] is None}
    if fields.get("stream") == "true":
        return generate(context, TRANSCRIPTS, fields)
    file = _file(parts)
    document = {"text": f"{file['bytes']} bytes, sha256 {file['sha256']}", **file, "parts": parts}
    return context.fault_response() or answer(context.plan, OPENAI, context.caller, document)


async def file(context: RequestContext) -> DemoResponse:
    """Answer a file upload as if it were stored."""
    parts = await _parts(context)
    uploaded = _file(parts)
    document = {
        "id": f"file-{uploaded['sha256'][:24]}",
        "object": "file",
        "created_at": _CREATED,
        "purpose": next(
            (part["text"] for part in parts if part["name"] == "purpose"), "assistants"
        ),
        "status": "processed",
        **uploaded,
        "parts": parts,
    }
    return context.fault_response() or answer(context.plan, OPENAI, context.caller, document)


def _file(parts: list[dict[str, Any]]) -> dict[str, Any]:
    for part in parts:
        if part["filename"] is not None:
            return {name: part[name] for name in ("filename", "bytes", "sha256")}
    raise InvalidRequestError("Missing required parameter: 'file'.", "file")


async def _parts(context: RequestContext) -> list[dict[str, Any]]:
    request = context.request
    if not request.content_type.startswith("multipart/"):
        size, hashed = await digest(request, context.plan, context.call)
        return [{"name": "file", "filename": "body", "bytes": size, "sha256": hashed, "text": ""}]
    reader = aiohttp.MultipartReader(request.headers, request.content)
    parts: list[dict[str, Any]] = []
    try:
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader):
                raise InvalidRequestError("Nested multipart bodies are not supported.")
            parts.append(await _one_part(context, part))
    except (ValueError, BadHttpMessage) as error:
        raise InvalidRequestError(f"The multipart body cannot be read: {error}") from None
    return parts


async def _one_part(context: RequestContext, part: BodyPartReader) -> dict[str, Any]:
    hashed = hashlib.sha256()
    size = 0
    text = b""
    while data := await part.read_chunk(_READ):
        hashed.update(data)
        size += len(data)
        if part.filename is None:
            text = (text + data)[:_LONGEST_FIELD]
    context.call.body_bytes += size
    return {
        "name": part.name,
        "filename": part.filename,
        "bytes": size,
        "sha256": hashed.hexdigest(),
        "text": text.decode("utf-8", "replace"),
    }

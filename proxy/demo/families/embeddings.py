"""OpenAI embeddings: small vectors that depend on nothing but the text."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import TYPE_CHECKING, Any

from proxy.demo.generation_request import needed, number_in, prompt_size
from proxy.demo.grammar import split_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.demo.plan import Plan

_DIMENSIONS = 16


def embeddings(body: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Answer the request; raises InvalidRequestError."""
    model = split_model(str(needed(body, "model")))[0]
    value = needed(body, "input")
    inputs = (
        value if isinstance(value, list) and value and not isinstance(value[0], int) else [value]
    )
    size = number_in(body, "dimensions") or _DIMENSIONS
    packed = body.get("encoding_format") == "base64"
    prompt = prompt_size(plan, inputs)
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _packed(vector) if packed else vector,
            }
            for index, vector in enumerate(_vector(str(text), size) for text in inputs)
        ],
        "model": model,
        "usage": {"prompt_tokens": prompt, "total_tokens": prompt},
    }


def _vector(text: str, size: int) -> list[float]:
    digest = hashlib.shake_256(text.encode()).digest(size)
    length = sum((byte - 127.5) ** 2 for byte in digest) ** 0.5
    return [(byte - 127.5) / length for byte in digest]


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

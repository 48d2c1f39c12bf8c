"""Answers of every family to begin with: whole, broken off, strange, and hostile."""

from __future__ import annotations

import json
from typing import Any


def events(*documents: Any, end: str = "\n", named: bool = False) -> bytes:
    """Documents as a stream; a string goes out as it is, anything else as JSON."""
    lines: list[str] = []
    for document in documents:
        text = (
            document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
        )
        lines += [f"event: {document['type']}"] if named else []
        lines += [f"data: {text}", ""]
    return (end.join(lines) + end).encode()


def _chunk(delta: dict[str, Any], finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "model": "m", "choices": [choice], **more}


_USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
CHAT = (
    *(_chunk({"content": word}) for word in ("Hé", "llo", " 👍", " you")),
    _chunk({}, "stop"),
    {"id": "c", "choices": [], "usage": _USAGE},
    "[DONE]",
)
TOOLS = (
    _chunk({"role": "assistant", "reasoning_content": "hm"}),
    _chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}),
    _chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}, obfuscation="xY"),
    _chunk({"content": [{"type": "text", "text": "a"}]}, "tool_calls", x_groq={"usage": _USAGE}),
)
LEGACY = ({"choices": [{"index": 0, "text": "a", "finish_reason": "length"}], "usage": _USAGE},)
PADDED = (
    _chunk({"content": "a"}, obfuscation="x"),
    json.dumps(_chunk({"content": "b"}, obfuscation="?"), separators=(",", ":")).replace(
        "?", "\n\ndata: [DONE]\n\n"
    ),
)
RESPONSES = (
    {"type": "response.created", "sequence_number": 0, "response": {"id": "r", "model": "m"}},
    {"type": "response.output_text.delta", "sequence_number": 1, "delta": "Hi"},
    {"type": "response.reasoning_text.delta", "sequence_number": 2, "delta": "hm"},
    {"type": "response.completed", "sequence_number": 3, "response": {"usage": _USAGE}},
)
MESSAGES = (
    {"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 3}}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ho"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
GEMINI = (
    {"candidates": [{"content": {"parts": [{"text": "Hi"}]}}], "modelVersion": "m"},
    {
        "candidates": [
            {"content": {"parts": [{"text": "", "thought": True}]}, "finishReason": "STOP"}
        ],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 7},
    },
)
UNKNOWN = (
    {"type": "content-delta", "delta": {"message": {"content": {"text": "a"}}}},
    {"type": "message-end", "delta": {"usage": {"tokens": {"input_tokens": 3}}}},
)


def nested(depth: int) -> str:
    """As many open lists as a reader's recursion may or may not bear."""
    return "[" * depth + "]" * depth


def bombs(depth: int) -> bytes:
    """The same wherever a reader looks closely."""
    deep = nested(depth)
    return events(
        f'{{"choices":[{{"finish_reason":{deep},"delta":{{"content":{deep}}}}}],"usage":{deep}}}',
        f'{{"type":"message_delta","delta":{{"stop_reason":{deep}}}}}',
        f'{{"candidates":[{{"finishReason":{deep}}}],"promptFeedback":{{"blockReason":{deep}}}}}',
        f'{{"type":{deep},"value":1}}',
    )


TEXTS = (
    b"",
    b": hello\n\n" + events(*CHAT),
    events(*CHAT, end="\r\n"),
    events(*CHAT[:5], end="\r"),
    events(*CHAT)[:-30],
    events(*CHAT)[:-2],
    events(*CHAT[:1], {"error": {"message": "no", "type": "server_error"}}),
    events(*TOOLS),
    events(*LEGACY, "[DONE]"),
    events(*PADDED),
    events(*RESPONSES, named=True),
    events(*MESSAGES, named=True),
    events(*MESSAGES[:2], {"type": "error", "error": {"type": "overloaded_error"}}, named=True),
    events(*GEMINI, end="\r\n"),
    events(*GEMINI[:1]) + b'{"error": {"code": 503, "status": "UNAVAILABLE"}}',
    events(*UNKNOWN),
    b"event: error\ndata: [1\ndata: ]\n\ndata: \xff\n\ndata: {\n\r",
    b"\xef\xbb\xbfdata: [DONE]",
    events(CHAT[4]) + b":" + b"x" * 30 + b"\n",
    events(*CHAT[:6]) + b"data: " + b"x" * 120,
)
WORDS = (
    b"data: ",
    b"event: ",
    b"\r\n\r\n",
    b"\r\r",
    b"data: [DONE]\n\n",
    b'"usage":{"prompt_tokens":1}',
    b'"finish_reason":"stop"',
    b'"choices":[]',
    b'"error":{',
    b'"type":"message_stop"',
    b'"type":"response.completed"',
    b'"finishReason":"STOP"',
    b'"candidates":[{',
    b'"index":1',
)

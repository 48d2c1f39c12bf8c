"""The response object of OpenAI's responses, and the items of its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.demo.answer_text import FILL

if TYPE_CHECKING:
    from proxy.demo.generation_request import GenerationRequest


def response_of(
    request: GenerationRequest, status: str, output: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the response object; usage only when it is over."""
    over = output is not None
    cut_short = {"reason": "max_output_tokens"} if status == "incomplete" else None
    return {
        "id": request.ident("resp_", length=40),
        "object": "response",
        "created_at": request.created,
        "status": status,
        "background": False,
        "completed_at": request.created + 1 if over else None,
        "error": None,
        "incomplete_details": cut_short,
        "instructions": None,
        "max_output_tokens": request.cap,
        "model": request.model,
        "output": output or [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage(request) if over and request.tells_usage else None,
        "user": None,
        "metadata": {},
    }


def _usage(request: GenerationRequest) -> dict[str, Any]:
    return {
        "input_tokens": request.prompt_tokens,
        "input_tokens_details": {"cached_tokens": request.cached_tokens},
        "output_tokens": request.output_tokens,
        "output_tokens_details": {"reasoning_tokens": request.plan.reasoning},
        "total_tokens": request.prompt_tokens + request.output_tokens,
    }


def output_of(request: GenerationRequest, status: str) -> list[dict[str, Any]]:
    """Return the finished output: the reasoning if there is any, then the calls or the message."""
    thoughts = [reasoning_item(request, request.thought())] if request.plan.reasoning else []
    if request.calls:
        calls = [
            calling(request, number, "completed", call.arguments)
            for number, call in enumerate(request.calls)
        ]
        return [*thoughts, *calls]
    text = request.text()
    if request.stream:
        text = text.replace(FILL.decode(), "")
    return [*thoughts, message_item(request, status, [output_text(text)])]


def message_item(
    request: GenerationRequest, status: str, content: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a message."""
    return {
        "id": request.ident("msg_", length=40),
        "type": "message",
        "status": status,
        "content": content,
        "role": "assistant",
    }


def reasoning_item(request: GenerationRequest, text: str) -> dict[str, Any]:
    """Return the reasoning, with a summary once there is one."""
    summary = [summary_text(text)] if text else []
    return {"id": request.ident("rs_", length=40), "type": "reasoning", "summary": summary}


def calling(request: GenerationRequest, number: int, status: str, arguments: str) -> dict[str, Any]:
    """Return a function call."""
    return {
        "id": request.ident("fc_", str(number), 40),
        "type": "function_call",
        "status": status,
        "call_id": request.ident("call_", str(number), 24),
        "name": request.calls[number].name,
        "arguments": arguments,
    }


def output_text(text: str) -> dict[str, Any]:
    """Return a part of a message's content."""
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def summary_text(text: str) -> dict[str, Any]:
    """Return a part of a reasoning summary."""
    return {"type": "summary_text", "text": text}

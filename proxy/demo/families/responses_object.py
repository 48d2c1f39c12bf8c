"""The response object of OpenAI's responses, and the items of its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.demo.text import FILL

if TYPE_CHECKING:
    from proxy.demo.ask import Ask


def response_of(
    ask: Ask, status: str, output: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Give the response object; usage only when it is over."""
    over = output is not None
    cut_short = {"reason": "max_output_tokens"} if status == "incomplete" else None
    return {
        "id": ask.ident("resp_", length=40),
        "object": "response",
        "created_at": ask.created,
        "status": status,
        "background": False,
        "completed_at": ask.created + 1 if over else None,
        "error": None,
        "incomplete_details": cut_short,
        "instructions": None,
        "max_output_tokens": ask.cap,
        "model": ask.model,
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
        "usage": _usage(ask) if over and ask.tells_usage else None,
        "user": None,
        "metadata": {},
    }


def _usage(ask: Ask) -> dict[str, Any]:
    return {
        "input_tokens": ask.prompt_tokens,
        "input_tokens_details": {"cached_tokens": ask.cached_tokens},
        "output_tokens": ask.output_tokens,
        "output_tokens_details": {"reasoning_tokens": ask.plan.reasoning},
        "total_tokens": ask.prompt_tokens + ask.output_tokens,
    }


def output_of(ask: Ask, status: str) -> list[dict[str, Any]]:
    """Give the finished output: the reasoning if there is any, then the calls or the message."""
    thoughts = [reasoning_item(ask, ask.thought())] if ask.plan.reasoning else []
    if ask.calls:
        said = [
            calling(ask, number, "completed", call.arguments)
            for number, call in enumerate(ask.calls)
        ]
        return [*thoughts, *said]
    text = ask.text()
    if ask.stream:
        text = text.replace(FILL.decode(), "")
    return [*thoughts, message_item(ask, status, [output_text(text)])]


def message_item(ask: Ask, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """Give a message."""
    return {
        "id": ask.ident("msg_", length=40),
        "type": "message",
        "status": status,
        "content": content,
        "role": "assistant",
    }


def reasoning_item(ask: Ask, text: str) -> dict[str, Any]:
    """Give the reasoning, with a summary once there is one."""
    summary = [summary_text(text)] if text else []
    return {"id": ask.ident("rs_", length=40), "type": "reasoning", "summary": summary}


def calling(ask: Ask, number: int, status: str, arguments: str) -> dict[str, Any]:
    """Give a function call."""
    return {
        "id": ask.ident("fc_", str(number), 40),
        "type": "function_call",
        "status": status,
        "call_id": ask.ident("call_", str(number), 24),
        "name": ask.calls[number].name,
        "arguments": arguments,
    }


def output_text(text: str) -> dict[str, Any]:
    """Give a part of a message's content."""
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def summary_text(text: str) -> dict[str, Any]:
    """Give a part of a reasoning summary."""
    return {"type": "summary_text", "text": text}

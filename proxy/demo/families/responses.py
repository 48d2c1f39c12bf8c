"""OpenAI responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.demo import shapes
from proxy.demo.ask import Ask, birth, needed, number_in, prompt_size
from proxy.demo.events import Event, Part
from proxy.demo.families.family import OPENAI, Family
from proxy.demo.families.responses_object import (
    calling,
    message_item,
    output_of,
    output_text,
    reasoning_item,
    response_of,
    summary_text,
)
from proxy.demo.grammar import split_model
from proxy.demo.text import FILL, json_bytes
from proxy.demo.tools import calls_for, tools_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.demo.plan import Plan


def read(body: Mapping[str, Any], plan: Plan) -> Ask:
    """Read the request; raises MistakeError."""
    model = str(needed(body, "model"))
    forced = body.get("tool_choice") == "required" or isinstance(body.get("tool_choice"), dict)
    seed, created = birth(plan)
    return Ask(
        plan=plan,
        model=split_model(model)[0],
        stream=body.get("stream") is True,
        prompt_tokens=prompt_size(
            plan, needed(body, "input"), body.get("instructions"), body.get("tools")
        ),
        cap=number_in(body, "max_output_tokens"),
        calls=calls_for(tools_in(body.get("tools"), "", "parameters"), plan.tools or int(forced)),
        seed=seed,
        created=created,
    )


def events(ask: Ask) -> Iterator[Event]:
    """Give the stream's events in order; each carries its number in the stream."""
    for number, (data, part, kind) in enumerate(_unnumbered(ask)):
        yield Event(_numbered(data, number), part, kind)


def _numbered(data: bytes, number: int) -> bytes:
    return b'%b,"sequence_number":%d}' % (data[:-1], number)


def _unnumbered(ask: Ask) -> Iterator[Event]:
    for kind in ("response.created", "response.in_progress"):
        yield _event(kind, Part.OPEN, response=response_of(ask, "in_progress"))
    if ask.plan.reasoning:
        yield from _reasoning(ask)
    index = int(ask.plan.reasoning > 0)
    if ask.calls:
        for number in range(len(ask.calls)):
            yield from _call(ask, number, index + number)
    else:
        yield from _message(ask, index)
    status = "incomplete" if ask.capped else "completed"
    answer = response_of(ask, status, output_of(ask, status))
    yield _event(f"response.{status}", Part.END, response=answer)


def _reasoning(ask: Ask) -> Iterator[Event]:
    item = reasoning_item(ask, "")
    where = {"item_id": item["id"], "output_index": 0, "summary_index": 0}
    text = ask.thought()
    yield _event("response.output_item.added", Part.OPEN, output_index=0, item=item)
    yield _event("response.reasoning_summary_part.added", Part.OPEN, **where, part=summary_text(""))
    yield from _deltas("response.reasoning_summary_text.delta", where, ask.thoughts())
    yield _event("response.reasoning_summary_text.done", Part.OPEN, **where, text=text)
    yield _event(
        "response.reasoning_summary_part.done", Part.OPEN, **where, part=summary_text(text)
    )
    item = reasoning_item(ask, text)
    yield _event("response.output_item.done", Part.OPEN, output_index=0, item=item)


def _message(ask: Ask, index: int) -> Iterator[Event]:
    item = message_item(ask, "in_progress", [])
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    # The long line stands in its delta alone: repeated in every closing event it would be five.
    text = ask.text().replace(FILL.decode(), "")
    whole = output_text(text)
    yield _event("response.output_item.added", Part.OPEN, output_index=index, item=item)
    yield _event("response.content_part.added", Part.OPEN, **where, part=output_text(""))
    yield from _deltas("response.output_text.delta", where, ask.deltas(), logprobs=[])
    yield _event("response.output_text.done", Part.FINISH, **where, text=text, logprobs=[])
    yield _event("response.content_part.done", Part.FINISH, **where, part=whole)
    item = message_item(ask, "incomplete" if ask.capped else "completed", [whole])
    yield _event("response.output_item.done", Part.FINISH, output_index=index, item=item)


def _call(ask: Ask, number: int, index: int) -> Iterator[Event]:
    item = calling(ask, number, "in_progress", "")
    where = {"item_id": item["id"], "output_index": index}
    call = ask.calls[number]
    yield _event("response.output_item.added", Part.OPEN, output_index=index, item=item)
    yield from _deltas("response.function_call_arguments.delta", where, iter(call.pieces))
    yield _event(
        "response.function_call_arguments.done",
        Part.FINISH,
        **where,
        name=call.name,
        arguments=call.arguments,
    )
    item = calling(ask, number, "completed", call.arguments)
    yield _event("response.output_item.done", Part.FINISH, output_index=index, item=item)


def _deltas(
    kind: str, where: dict[str, Any], said: Iterator[bytes], **more: Any
) -> Iterator[Event]:
    body = json_bytes({"type": kind, **where, "delta": FILL.decode(), **more})
    before, after = body.split(FILL)
    name = kind.encode()
    for token in said:
        yield Event(before + token + after, Part.TOKEN, name)


def _event(kind: str, place: Part, /, **fields: Any) -> Event:
    return Event(json_bytes({"type": kind, **fields}), place, kind.encode())


def whole(ask: Ask) -> dict[str, Any]:
    """Give the answer in one piece."""
    status = "incomplete" if ask.capped else "completed"
    return response_of(ask, status, output_of(ask, status))


def trouble(ask: Ask, status: int, sent: int) -> Event:
    """Give an `error` event in place of the answer, or `response.failed` in its midst."""
    error = shapes.openai(status, shapes.message_for(status))["error"]
    if sent == 0:
        failed = _event("error", Part.TROUBLE, **{**error, "type": "error"})
    else:
        answer = response_of(ask, "failed")
        answer["error"] = {"code": "server_error", "message": error["message"]}
        failed = _event("response.failed", Part.TROUBLE, response=answer)
    return failed._replace(data=_numbered(failed.data, sent))


RESPONSES = Family(
    name="responses", dialect=OPENAI, read=read, events=events, whole=whole, trouble=trouble
)

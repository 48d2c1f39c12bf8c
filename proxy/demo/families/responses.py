"""OpenAI responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.demo import error_bodies
from proxy.demo.answer_text import FILL, json_bytes
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
from proxy.demo.generation_request import GenerationRequest, birth, needed, number_in, prompt_size
from proxy.demo.grammar import split_model
from proxy.demo.tool_calls import calls_for, tools_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.demo.plan import Plan


def read(body: Mapping[str, Any], plan: Plan) -> GenerationRequest:
    """Read the request; raises InvalidRequestError."""
    model = str(needed(body, "model"))
    forced = body.get("tool_choice") == "required" or isinstance(body.get("tool_choice"), dict)
    seed, created = birth(plan)
    return GenerationRequest(
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


def events(request: GenerationRequest) -> Iterator[Event]:
    """Yield the stream's events in order; each carries its number in the stream."""
    for number, (data, part, kind) in enumerate(_unnumbered(request)):
        yield Event(_numbered(data, number), part, kind)


def _numbered(data: bytes, number: int) -> bytes:
    return b'%b,"sequence_number":%d}' % (data[:-1], number)


def _unnumbered(request: GenerationRequest) -> Iterator[Event]:
    for kind in ("response.created", "response.in_progress"):
        yield _event(kind, Part.OPEN, response=response_of(request, "in_progress"))
    if request.plan.reasoning:
        yield from _reasoning(request)
    index = int(request.plan.reasoning > 0)
    if request.calls:
        for number in range(len(request.calls)):
            yield from _call(request, number, index + number)
    else:
        yield from _message(request, index)
    status = "incomplete" if request.capped else "completed"
    answer = response_of(request, status, output_of(request, status))
    yield _event(f"response.{status}", Part.END, response=answer)


def _reasoning(request: GenerationRequest) -> Iterator[Event]:
    item = reasoning_item(request, "")
    where = {"item_id": item["id"], "output_index": 0, "summary_index": 0}
    text = request.thought()
    yield _event("response.output_item.added", Part.OPEN, output_index=0, item=item)
    yield _event("response.reasoning_summary_part.added", Part.OPEN, **where, part=summary_text(""))
    yield from _deltas("response.reasoning_summary_text.delta", where, request.thoughts())
    yield _event("response.reasoning_summary_text.done", Part.OPEN, **where, text=text)
    yield _event(
        "response.reasoning_summary_part.done", Part.OPEN, **where, part=summary_text(text)
    )
    item = reasoning_item(request, text)
    yield _event("response.output_item.done", Part.OPEN, output_index=0, item=item)


def _message(request: GenerationRequest, index: int) -> Iterator[Event]:
    item = message_item(request, "in_progress", [])
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    # The long line stands in its delta alone: repeated in every closing event it would be five.
    text = request.text().replace(FILL.decode(), "")
    whole = output_text(text)
    yield _event("response.output_item.added", Part.OPEN, output_index=index, item=item)
    yield _event("response.content_part.added", Part.OPEN, **where, part=output_text(""))
    yield from _deltas("response.output_text.delta", where, request.deltas(), logprobs=[])
    yield _event("response.output_text.done", Part.FINISH, **where, text=text, logprobs=[])
    yield _event("response.content_part.done", Part.FINISH, **where, part=whole)
    item = message_item(request, "incomplete" if request.capped else "completed", [whole])
    yield _event("response.output_item.done", Part.FINISH, output_index=index, item=item)


def _call(request: GenerationRequest, number: int, index: int) -> Iterator[Event]:
    item = calling(request, number, "in_progress", "")
    where = {"item_id": item["id"], "output_index": index}
    call = request.calls[number]
    yield _event("response.output_item.added", Part.OPEN, output_index=index, item=item)
    yield from _deltas("response.function_call_arguments.delta", where, iter(call.pieces))
    yield _event(
        "response.function_call_arguments.done",
        Part.FINISH,
        **where,
        name=call.name,
        arguments=call.arguments,
    )
    item = calling(request, number, "completed", call.arguments)
    yield _event("response.output_item.done", Part.FINISH, output_index=index, item=item)


def _deltas(
    kind: str, where: dict[str, Any], deltas: Iterator[bytes], **more: Any
) -> Iterator[Event]:
    body = json_bytes({"type": kind, **where, "delta": FILL.decode(), **more})
    before, after = body.split(FILL)
    name = kind.encode()
    for token in deltas:
        yield Event(before + token + after, Part.TOKEN, name)


def _event(kind: str, place: Part, /, **fields: Any) -> Event:
    return Event(json_bytes({"type": kind, **fields}), place, kind.encode())


def whole(request: GenerationRequest) -> dict[str, Any]:
    """Return the answer in one piece."""
    status = "incomplete" if request.capped else "completed"
    return response_of(request, status, output_of(request, status))


def trouble(request: GenerationRequest, status: int, sent: int) -> Event:
    """Return an `error` event in place of the answer, or `response.failed` in its midst."""
    error = error_bodies.openai(status, error_bodies.message_for(status))["error"]
    if sent == 0:
        failed = _event("error", Part.TROUBLE, **{**error, "type": "error"})
    else:
        answer = response_of(request, "failed")
        answer["error"] = {"code": "server_error", "message": error["message"]}
        failed = _event("response.failed", Part.TROUBLE, response=answer)
    return failed._replace(data=_numbered(failed.data, sent))


RESPONSES = Family(
    name="responses", dialect=OPENAI, read=read, events=events, whole=whole, trouble=trouble
)

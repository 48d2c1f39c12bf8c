"""The parameters of a request, parsed from its body without building the rest of it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from proxy import json_members
from proxy.edge.routes import Route
from proxy.record import Family
from proxy.upstream.body_edit import BodyEdit

_ABSENT = msgspec.Raw()
_LONGEST_MODEL_BYTES = 4096
_LARGEST_OPTIONS_BYTES = 4096
_MOST_CHOICES_DIGITS = 6
_MOST_TOKENS_DIGITS = 9
_LARGEST_CONFIG_BYTES = 64 * 1024
_USAGE_ASKED = b'"stream_options":{"include_usage":true},'


class _Members(msgspec.Struct):
    """The members of a body that matter here, as raw JSON."""

    generationConfig: msgspec.Raw = _ABSENT  # noqa: N815 Gemini's name
    max_completion_tokens: msgspec.Raw = _ABSENT
    max_output_tokens: msgspec.Raw = _ABSENT
    max_tokens: msgspec.Raw = _ABSENT
    model: msgspec.Raw = _ABSENT
    n: msgspec.Raw = _ABSENT
    stream: msgspec.Raw = _ABSENT
    stream_options: msgspec.Raw = _ABSENT


class _Options(msgspec.Struct):
    include_usage: msgspec.Raw = _ABSENT


class _GenerationConfig(msgspec.Struct):
    maxOutputTokens: msgspec.Raw = _ABSENT  # noqa: N815 Gemini's name


_MEMBERS = msgspec.json.Decoder(_Members)
_OPTIONS = msgspec.json.Decoder(_Options)
_GENERATION = msgspec.json.Decoder(_GenerationConfig)
_OPTIONS_WHOLE = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class RequestFields:
    """What a body contains; small, because the parsing process may send it."""

    model: str = ""
    """Empty if there is no valid one."""
    streams: bool = False
    choices: int = 1
    max_output: int = 0
    """The maximum of output tokens per choice; 0 if not set."""
    asks_for_usage: bool = False
    options: tuple[int, bytes] | None = None
    """The position and the JSON of the client's `stream_options`; None if there are none."""
    model_at: tuple[json_members.Place, ...] | None = None
    """Where the model is named; None if that was not requested."""
    options_are_fixed: bool = False
    """Whether there are `stream_options` that cannot be extended."""


@dataclass(frozen=True, slots=True)
class RequestParams:
    """The parameters that decide how a request is routed and metered."""

    body: bytes
    """The client's body, unchanged."""
    model: str = ""
    wants_stream: bool = False
    choices: int = 1
    """The number of choices (`n`)."""
    max_output: int = 0
    """The maximum of output tokens per choice; 0 if not set."""
    added_usage: BodyEdit | None = None
    """The edit that asks the upstream for usage; its chunk is then hidden from the client."""
    model_at: tuple[json_members.Place, ...] | None = ()
    """Where the body names the model; None if unknown."""

    @property
    def hides_usage(self) -> bool:
        """Whether usage is requested by Sluice only, and so hidden from the client."""
        return self.added_usage is not None


def parse(body: json_members.Body, *, find_model: bool = False) -> RequestFields:
    """Validate the whole body, and return the few members that matter.

    Raises `BadRequest`, naming the byte, if it is not a JSON object.
    """
    seen = json_members.read(body, _MEMBERS)
    options = bytes(seen.stream_options)
    asks = _asks_for_usage(options)
    model = json_members.text_of(seen.model, _LONGEST_MODEL_BYTES)
    place = -1
    if options and not asks and len(options) <= _LARGEST_OPTIONS_BYTES:
        place = json_members.place_of(body, "stream_options", _MEMBERS)
    model_at = json_members.places_of(body, "model", _MEMBERS) if find_model else None
    return RequestFields(
        model=model,
        model_at=model_at,
        streams=bytes(seen.stream) == b"true",
        choices=_count(bytes(seen.n)),
        max_output=_most_output(seen),
        asks_for_usage=asks,
        options=(place, options) if place >= 0 else None,
        options_are_fixed=bool(options) and place < 0,
    )


def to_params(
    route: Route, body: bytes, fields: RequestFields, *, include_usage: bool
) -> RequestParams:
    """Build the parameters, with the edit that asks for usage where it is needed."""
    streams = route.streams or fields.streams
    wanted = include_usage and streams and route.family is Family.CHAT
    hides = wanted and not fields.asks_for_usage and not fields.options_are_fixed
    return RequestParams(
        body,
        model=route.model or fields.model,
        wants_stream=streams,
        choices=fields.choices,
        max_output=fields.max_output,
        added_usage=_asking_for_usage(body, fields.options) if hides else None,
        model_at=fields.model_at,
    )


def _asks_for_usage(options: bytes) -> bool:
    if not options.startswith(b"{"):
        return False
    return bytes(_OPTIONS.decode(options).include_usage) == b"true"


def _count(number: bytes) -> int:
    if not number.isdigit() or len(number) > _MOST_CHOICES_DIGITS:
        return 1
    return int(number) or 1


def _most_output(seen: _Members) -> int:
    for raw in (seen.max_completion_tokens, seen.max_output_tokens, seen.max_tokens):
        if tokens := _tokens(bytes(raw)):
            return tokens
    config = bytes(seen.generationConfig)
    if not config.startswith(b"{") or len(config) > _LARGEST_CONFIG_BYTES:
        return 0
    return _tokens(bytes(_GENERATION.decode(config).maxOutputTokens))


def _tokens(number: bytes) -> int:
    return int(number) if number.isdigit() and len(number) <= _MOST_TOKENS_DIGITS else 0


def _asking_for_usage(body: bytes, options: tuple[int, bytes] | None) -> BodyEdit:
    """Build the edit that asks for usage; the rest of the body stays unchanged."""
    if options is None:
        opening = body.index(b"{") + 1
        return BodyEdit(opening, opening, _USAGE_ASKED)
    start, own = options
    options_whole = _OPTIONS_WHOLE.decode(own) if own.startswith(b"{") else {}
    options_whole["include_usage"] = msgspec.Raw(b"true")
    return BodyEdit(start, start + len(own), msgspec.json.encode(options_whole))

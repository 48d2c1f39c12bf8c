"""What a request asks for, read from its body without building what is not needed of it."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from proxy import members
from proxy.edge.routes import Route
from proxy.record import Family
from proxy.upstream.edit import Edit

_ABSENT = msgspec.Raw()
_LONGEST_MODEL_BYTES = 4096
_LARGEST_OPTIONS_BYTES = 4096
_MOST_CHOICES_DIGITS = 6
_MOST_TOKENS_DIGITS = 9
_LARGEST_CONFIG_BYTES = 64 * 1024
_USAGE_ASKED = b'"stream_options":{"include_usage":true},'


class _Members(msgspec.Struct):
    """The members of a body that matter here, as they were written."""

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
    """What a body says, in few bytes: it may come from another process."""

    model: str = ""
    """Empty if there is none, or none that could be a name."""
    streams: bool = False
    choices: int = 1
    max_output: int = 0
    """The most output tokens of a choice; 0 if it does not say."""
    asks_for_usage: bool = False
    options: tuple[int, bytes] | None = None
    """Where the client's own `stream_options` stand, and what they are; None if there are none."""
    model_at: tuple[members.Place, ...] | None = None
    """Where the model is named; None: nobody wanted to know."""
    options_are_fixed: bool = False
    """There are some that cannot be added to."""


@dataclass(frozen=True, slots=True)
class RequestParams:
    """The parts of a request that decide its way."""

    body: bytes
    """The client's own."""
    model: str = ""
    wants_stream: bool = False
    choices: int = 1
    """How many choices were asked for (`n`)."""
    max_output: int = 0
    """The most output tokens of each; 0 if the body does not say."""
    added_usage: Edit | None = None
    """What adds usage to what is asked for; then the client must not see its chunk."""
    model_at: tuple[members.Place, ...] | None = ()
    """Where the body names the model; None: nobody has looked."""

    @property
    def hides_usage(self) -> bool:
        """Whether the usage that is asked for is not the client's to see."""
        return self.added_usage is not None


def read_params(route: Route, body: bytes, *, include_usage: bool) -> RequestParams:
    """Read a request on a route that is understood.

    Raises `BadRequest`, naming the byte, for a body that is no JSON object.
    """
    return to_params(route, body, parse(body), include_usage=include_usage)


def parse(body: members.Body, *, find_model: bool = False) -> RequestFields:
    """See what a body asks for; it is checked whole, and little of it is kept.

    Raises `BadRequest`, naming the byte, if it is no JSON object.
    """
    seen = members.read(body, _MEMBERS)
    options = bytes(seen.stream_options)
    asks = _asks_for_usage(options)
    model = members.text_of(seen.model, _LONGEST_MODEL_BYTES)
    place = -1
    if options and not asks and len(options) <= _LARGEST_OPTIONS_BYTES:
        place = members.place_of(body, "stream_options", _MEMBERS)
    model_at = members.places_of(body, "model", _MEMBERS) if find_model else None
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
    """What was seen, as parameters, with usage asked for where it should be."""
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


def _asking_for_usage(body: bytes, options: tuple[int, bytes] | None) -> Edit:
    """What has the body ask for usage; all else stays as the client wrote it."""
    if options is None:
        opening = body.index(b"{") + 1
        return Edit(opening, opening, _USAGE_ASKED)
    at, own = options
    asked = _OPTIONS_WHOLE.decode(own) if own.startswith(b"{") else {}
    asked["include_usage"] = msgspec.Raw(b"true")
    return Edit(at, at + len(own), msgspec.json.encode(asked))

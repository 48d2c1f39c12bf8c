"""Explains invalid settings to operators; pydantic's own messages are for programmers.

Each message names the setting, its value (unless it is a secret) and what would be valid.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from proxy.key_settings import MASK, KeyDefaults, KeySettings, unless_a_key
from proxy.settings import Settings
from proxy.upstream_settings import UpstreamSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

PREFIX = "SLUICE_"
CONFIG = "SLUICE_CONFIG"

_SECRETS = {"upstream_api_key", "client_keys", "store_url", "admin_token"}
_TABLES: dict[str, type[BaseModel]] = {
    "upstreams": UpstreamSettings,
    "keys": KeySettings,
    "key_defaults": KeyDefaults,
}
_SECRET_FIELDS = {"api_key", "key", "sha256"}
_NAME_MARK = "[key]"
"""pydantic's last part of an error's location if the name in a table is invalid, not its value."""
_LONGEST_NUMBER = 9
"""Characters of a number that is shown; a longer one may be a key."""
_LIST = "it must be a list"
# By pydantic's error type (its page "Validation Errors"); {…} is filled in from the error.
_REASONS = {
    "missing": "it is missing",
    "int_parsing": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "int_type": "it must be a whole number",
    "int_parsing_size": "it is too large",
    "float_parsing": "it must be a number",
    "float_type": "it must be a number",
    "finite_number": "it must be a number",
    "bool_parsing": "it must be true or false",
    "bool_type": "it must be true or false",
    "string_type": "it must be a text",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "dict_type": "it must be a table of names and values",
    "model_type": "it must be a table of names and values",
    "model_attributes_type": "it must be a table of names and values",
    "greater_than": "it must be more than {gt}",
    "greater_than_equal": "it must be at least {ge}",
    "less_than": "it must be less than {lt}",
    "less_than_equal": "it must be at most {le}",
    "literal_error": "it must be {expected}",
    "url_parsing": "it must be an address that begins with http:// or https://",
    "url_scheme": "it must be an address that begins with http:// or https://",
    "url_type": "it must be an address that begins with http:// or https://",
    "url_too_long": "it is too long for an address",
    "datetime_parsing": "it must be a time such as 2027-01-31T00:00:00Z",
    "datetime_from_date_parsing": "it must be a time such as 2027-01-31T00:00:00Z",
    "datetime_type": "it must be a time such as 2027-01-31T00:00:00Z",
    "timezone_aware": "it must be a time with its offset, such as 2027-01-31T00:00:00Z",
}
_KINDS = {
    str: "text",
    int: "number",
    float: "number",
    dict: "table",
    list: "list",
    tuple: "list",
    object: "value",
}
# The reasons for fields with a pattern, by the field's name.
_PATTERNS = {
    "name": "it must be a name of 1 to 64 characters, without spaces or braces",
    "probe_path": "it must be a path that begins with /",
}
# Up to the last @, as a password may contain / or ?.
_USERINFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)
_QUERY_VALUE = re.compile(r"([?&;#][^=&;#\s]*=)[^&;#\s]+")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that was probably meant."""
    return difflib.get_close_matches(name, list(known), n=1, cutoff=0)[0]


def explain(error: ErrorDetails) -> str:
    """Return the message for one error, as one line."""
    if not error["loc"]:
        return str(error["msg"]).removeprefix("Value error, ").removesuffix(".") + "."
    field, *rest = error["loc"]
    field = str(field)
    where = PREFIX + field.upper() + "".join(f"[{part}]" for part in _places(rest))
    if error["type"] == "extra_forbidden":
        if not rest:
            return (
                f"{field} in {CONFIG} is no setting; "
                f"the nearest is {nearest(field, Settings.model_fields)}."
            )
        near = nearest(str(rest[-1]), _TABLES[field].model_fields)
        return f"{where} is no setting; the nearest is {near}."
    meant = Settings.model_fields[field].description
    if error["type"] == "missing":
        return f"{where} is missing ({meant})."
    return f"{where}: {_shown(field, rest, error['input'])} is wrong: {_why(error)} ({meant})."


def _places(rest: list[int | str]) -> list[str]:
    """Return the parts of a location within a setting; names that may be keys are masked."""
    return [unless_a_key(str(part)) for part in rest if part != _NAME_MARK]


def without_secrets(text: str) -> str:
    """Return an address with its user, its password and the values of its query masked."""
    return _QUERY_VALUE.sub(rf"\1{MASK}", _USERINFO.sub(_masked_user, text))


def _masked_user(match: re.Match[str]) -> str:
    return f"{match[1] or ''}{MASK}@"


def _why(error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx") or {}
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    if error["type"] == "string_pattern_mismatch":
        return _PATTERNS.get(str(error["loc"][-1]), "it has a form that is not allowed")
    reason = _REASONS.get(error["type"], "it is not a valid value")
    return reason.format(**{name: _number(value) for name, value in context.items()})


def _number(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shown(field: str, rest: list[int | str], value: object) -> str:
    """Return the invalid value, or a mask if it is a secret or may be one.

    Any value in the tables of keys and upstreams may be a key, entered in the wrong place.
    """
    if field in _SECRETS or (rest and rest[-1] in _SECRET_FIELDS):
        return MASK
    shown = field not in _TABLES
    match value:
        case str() if shown or _is_address(rest, value):
            return repr(without_secrets(value))
        case bool() | int() | float() if shown or len(repr(value)) < _LONGEST_NUMBER:
            return repr(value)
    kind = next(kind for of, kind in _KINDS.items() if isinstance(value, of))
    return f"this {kind}"


def _is_address(rest: list[int | str], value: str) -> bool:
    return rest[-1:] == ["url"] and ("://" in value or "@" in value)

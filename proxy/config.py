"""Reads the settings: the environment first, then `_FILE` secrets, then one TOML file."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from proxy.key_settings import KeyDefaults, KeySettings
from proxy.settings import Settings
from proxy.upstream_settings import UpstreamSettings

PREFIX = "SLUICE_"
CONFIG = "SLUICE_CONFIG"
FILE_SUFFIX = "_FILE"
MASK = "********"
_SECRETS = {"upstream_api_key", "client_keys", "store_url"}
_TABLES: dict[str, type[BaseModel]] = {
    "upstreams": UpstreamSettings,
    "keys": KeySettings,
    "key_defaults": KeyDefaults,
}


class BadSettings(Exception):
    """One or more settings are wrong; the text names each key, its value and what is right."""


def load() -> Settings:
    """Read and check all settings.

    Raises `BadSettings` when a name, a value or a file is wrong.
    """
    if unknown := _unknown_names():
        raise BadSettings("\n".join(unknown))
    try:
        return _Loaded()
    except ValidationError as error:
        raise BadSettings("\n".join(_explain(one) for one in error.errors())) from None
    except SettingsError as error:
        cause = error.__cause__
        if isinstance(cause, BadSettings):
            raise cause from None
        raise BadSettings(f"{_name_in(str(error))} is no JSON: {cause}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{CONFIG} or a {FILE_SUFFIX} setting cannot be read: {error}") from None


def effective(settings: Settings) -> dict[str, object]:
    """Every setting by its environment name, secrets masked, ready for JSON."""
    plain = settings.model_dump(mode="python")
    return {PREFIX + name.upper(): _masked(value) for name, value in plain.items()}


class _FileSource(EnvSettingsSource):
    """`SLUICE_X_FILE` names a file that holds the value of `SLUICE_X`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        _, key, is_complex = super().get_field_value(field, field_name)
        name = PREFIX + field_name.upper()
        path = self.env_vars.get((name + FILE_SUFFIX).lower())
        if path is None:
            return None, key, is_complex
        if self.env_vars.get(name.lower()) is not None:
            raise BadSettings(f"{name} and {name}{FILE_SUFFIX} are both set; keep one of them.")
        try:
            return Path(path).read_text(encoding="utf-8").strip(), key, is_complex
        except OSError as error:
            raise BadSettings(
                f"{name}{FILE_SUFFIX}: {path!r} cannot be read ({error.strerror}); "
                "it must name a readable file."
            ) from None


class _Loaded(Settings):
    """Settings with their three sources."""

    model_config = SettingsConfigDict(env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 no such file is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 `_FileSource` reads them
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = (init_settings, env_settings, _FileSource(settings_cls))
        path = os.environ.get(CONFIG)
        if not path:
            return sources
        if not Path(path).is_file():
            raise BadSettings(f"{CONFIG}: {path!r} is no file; it must name a TOML file.")
        return (*sources, TomlConfigSettingsSource(settings_cls, toml_file=path))


def _unknown_names() -> list[str]:
    """Complaints about names in the environment that are no setting, with the nearest one."""
    known = [PREFIX + name.upper() for name in Settings.model_fields] + [CONFIG]
    known_or_file = {*known, *(name + FILE_SUFFIX for name in known)}
    complaints = []
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known_or_file:
            near = difflib.get_close_matches(name.removesuffix(FILE_SUFFIX), known, n=1, cutoff=0)
            complaints.append(f"{name} is no setting; the nearest is {near[0]}.")
    return complaints


def _explain(error: ErrorDetails) -> str:
    """One complaint: the key, its value (never a secret's) and what would be right."""
    if not error["loc"]:
        return str(error["msg"]).removeprefix("Value error, ") + "."
    field, *rest = error["loc"]
    name = PREFIX + str(field).upper()
    where = name + "".join(f"[{part}]" for part in rest)
    if error["type"] == "extra_forbidden" and not rest:
        known = list(Settings.model_fields)
        near = difflib.get_close_matches(str(field), known, n=1, cutoff=0)
        return f"{field} in {CONFIG} is no setting; the nearest is {near[0]}."
    if error["type"] == "extra_forbidden" and str(field) in _TABLES:
        near = difflib.get_close_matches(
            str(rest[-1]), list(_TABLES[str(field)].model_fields), n=1, cutoff=0
        )
        return f"{where} is no setting; the nearest is {near[0]}."
    message = error["msg"].removeprefix("Value error, ")
    meant = Settings.model_fields[str(field)].description
    return f"{where}: {_shown(str(field), rest, error['input'])} is wrong: {message} ({meant})."


def _shown(field: str, rest: list[int | str], value: object) -> str:
    """The wrong value, unless it is a secret or may hold one."""
    harmless = field != "keys" or (rest and rest[-1] in KeyDefaults.model_fields)
    if field in _SECRETS or "api_key" in rest or not harmless:
        return MASK
    return repr(value) if isinstance(value, str | int | float) else f"this {type(value).__name__}"


def _name_in(message: str) -> str:
    """The setting that a parse error of a JSON value speaks of."""
    for field in Settings.model_fields:
        if f'"{field}"' in message:
            return PREFIX + field.upper()
    return "a setting"


def _masked(value: object) -> object:
    match value:
        case SecretStr():
            return MASK
        case dict():
            return {key: _masked(one) for key, one in value.items()}
        case list() | tuple():
            return [_masked(one) for one in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def as_json(settings: Settings) -> str:
    """The effective settings for people and programs, secrets masked."""
    return json.dumps(effective(settings), indent=2, ensure_ascii=False)

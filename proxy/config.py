"""Reads the settings: the environment first, then `_FILE` secrets, then one TOML file."""

from __future__ import annotations

import json
import os
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from proxy.key_settings import MASK
from proxy.setting_errors import CONFIG, PREFIX, explain, nearest
from proxy.settings import Settings

FILE_SUFFIX = "_FILE"
_MUST_NOT_BE_EMPTY = ("upstream_api_key", "client_keys", "keys", "admin_token")
"""Where nothing is not the same as unset: it would let in, or send on, what it should not."""


class BadSettings(Exception):
    """One or more settings are wrong; the text names each key, its value and what is right."""


def load() -> Settings:
    """Read and check all settings.

    Raises `BadSettings` when a name, a value or a file is wrong.
    """
    if wrong := [*_unknown_names(), *_empty_secrets()]:
        raise BadSettings("\n".join(wrong))
    try:
        return _Loaded()
    except ValidationError as error:
        raise BadSettings("\n".join(explain(one) for one in error.errors())) from None
    except SettingsError as error:
        cause = error.__cause__
        if isinstance(cause, BadSettings):
            raise cause from None
        raise BadSettings(f"{_name_in(str(error))} is no JSON: {_where(cause)}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{CONFIG} or a {FILE_SUFFIX} setting cannot be read: {error}") from None


def admin_token() -> str:
    """The token of the admin port alone, for a command beside a running Sluice; empty if unset.

    Raises `BadSettings` if a file that should hold it cannot be read.
    """
    name = f"{PREFIX}ADMIN_TOKEN"
    if token := os.environ.get(name):
        return token
    if path := os.environ.get(name + FILE_SUFFIX):
        return _content(name + FILE_SUFFIX, path)
    path = os.environ.get(CONFIG)
    if not path:
        return ""
    try:
        return str(tomllib.loads(_content(CONFIG, path)).get("admin_token", ""))
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"{CONFIG}: {path!r} is no TOML: {error}.") from None


def effective(settings: Settings) -> dict[str, object]:
    """Every setting by its environment name, secrets masked, ready for JSON."""
    plain = settings.model_dump(mode="python")
    return {PREFIX + name.upper(): _masked(value) for name, value in plain.items()}


class _EnvSource(EnvSettingsSource):
    """`SLUICE_X`; in JSON no name stands twice, where one of two keys would be lost in silence."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """The value of JSON. Raises `BadSettings` for a name that stands twice."""
        decoded = super().decode_complex_value(field_name, field, value)
        if isinstance(decoded, dict | list):
            json.loads(value, object_pairs_hook=partial(_once, PREFIX + field_name.upper()))
        return decoded


def _once(setting: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Not which: it may be a key.
        raise BadSettings(f"{setting}: a name stands twice in its JSON; keep one of the two.")
    return found


class _FileSource(_EnvSource):
    """`SLUICE_X_FILE` names a file that holds the value of `SLUICE_X`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        _, key, is_complex = super().get_field_value(field, field_name)
        name = PREFIX + field_name.upper()
        path = self.env_vars.get((name + FILE_SUFFIX).lower())
        if path is None:
            return None, key, is_complex
        if self.env_vars.get(name.lower()) is not None:
            raise BadSettings(f"{name} and {name}{FILE_SUFFIX} are both set; keep one of them.")
        return _content(f"{name}{FILE_SUFFIX}", path), key, is_complex


def _content(name: str, path: str) -> str:
    """What stands in the file, which must not be nothing: a secret that failed to arrive."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadSettings(
            f"{name}: {path!r} cannot be read ({error.strerror}); it must name a readable file."
        ) from None
    except UnicodeDecodeError:
        raise BadSettings(f"{name}: {path!r} is no text in UTF-8.") from None
    if not text:
        raise BadSettings(f"{name}: {path!r} is empty; it must hold the value, or be unset.")
    return text


class _Loaded(Settings):
    """Settings with their three sources."""

    model_config = SettingsConfigDict(env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 `_EnvSource` reads them
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 no such file is read
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 `_FileSource` reads them
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = (init_settings, _EnvSource(settings_cls), _FileSource(settings_cls))
        path = os.environ.get(CONFIG)
        if not path:
            return sources
        if not Path(path).is_file():
            raise BadSettings(f"{CONFIG}: {path!r} is no file; it must name a TOML file.")
        return (*sources, TomlConfigSettingsSource(settings_cls, toml_file=path))


def _unknown_names() -> list[str]:
    """Complaints about names in the environment that are no setting, with the nearest one."""
    known = [PREFIX + name.upper() for name in Settings.model_fields] + [CONFIG]
    # SLUICE_CONFIG is a file already.
    known_or_file = {*known, *(name + FILE_SUFFIX for name in known[:-1])}
    complaints = []
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known_or_file:
            near = nearest(name.removesuffix(FILE_SUFFIX), known)
            complaints.append(f"{name} is no setting; the nearest is {near}.")
    return complaints


def _empty_secrets() -> list[str]:
    """Complaints about keys that are set to nothing.

    Any other empty variable is as good as none: compose files pass on what nobody has set.
    """
    names = [PREFIX + name.upper() for name in _MUST_NOT_BE_EMPTY if name in Settings.model_fields]
    return [
        f"{name} is set and empty; give it its value, or unset it."
        for name in names
        if name in os.environ and not os.environ[name].strip()
    ]


def _where(cause: BaseException | None) -> str:
    """Where the JSON ends to be one; its text may be a secret."""
    if isinstance(cause, json.JSONDecodeError):
        return f"it cannot be read from line {cause.lineno}, column {cause.colno} on"
    return "it cannot be read"


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

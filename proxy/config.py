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
"""Secrets for which empty must not mean unset: that would let any client in, or send its key on."""


class BadSettings(Exception):
    """Settings are invalid; the message names each, its value and what would be valid."""


def load() -> Settings:
    """Read and check all settings.

    Raises `BadSettings` if a name, a value or a file is invalid.
    """
    if wrong := [*_unknown_names(), *_empty_secrets()]:
        raise BadSettings("\n".join(wrong))
    try:
        return _Loaded()
    except ValidationError as error:
        raise BadSettings("\n".join(explain(invalid) for invalid in error.errors())) from None
    except SettingsError as error:
        cause = error.__cause__
        if isinstance(cause, BadSettings):
            raise cause from None
        raise BadSettings(f"{_name_in(str(error))} is no JSON: {_where(cause)}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{CONFIG} or a {FILE_SUFFIX} setting cannot be read: {error}") from None


def admin_token() -> str:
    """Read only the admin port's token, for a command that asks a running Sluice; empty if unset.

    Raises `BadSettings` if a file that should contain it cannot be read.
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
    """Return every setting by its environment name, as JSON values, with secrets masked."""
    plain = settings.model_dump(mode="python")
    return {PREFIX + name.upper(): _masked(value) for name, value in plain.items()}


class _EnvSource(EnvSettingsSource):
    """Reads `SLUICE_X`; rejects duplicate names in JSON, of which one would be ignored silently."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Decode the JSON of a setting. Raises `BadSettings` for a duplicate name."""
        decoded = super().decode_complex_value(field_name, field, value)
        if isinstance(decoded, dict | list):
            json.loads(
                value, object_pairs_hook=partial(_without_duplicates, PREFIX + field_name.upper())
            )
        return decoded


def _without_duplicates(setting: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        # Do not show the name: it may be a key.
        raise BadSettings(f"{setting}: a name is used twice in its JSON; keep one of the two.")
    return members


class _FileSource(_EnvSource):
    """Reads `SLUICE_X` from the file that `SLUICE_X_FILE` names."""

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
    """Return the file's text. Raises `BadSettings` if it is empty, as a missing secret's may be."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadSettings(
            f"{name}: {path!r} cannot be read ({error.strerror}); it must name a readable file."
        ) from None
    except UnicodeDecodeError:
        raise BadSettings(f"{name}: {path!r} is not valid UTF-8.") from None
    if not text:
        raise BadSettings(f"{name}: {path!r} is empty; it must hold the value, or be unset.")
    return text


class _Loaded(BaseSettings, Settings):
    """The settings, read from their three sources."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True)

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
    """Return a message for each unknown `SLUICE_` name, with the most similar known one."""
    known = [PREFIX + name.upper() for name in Settings.model_fields] + [CONFIG]
    # SLUICE_CONFIG itself names a file.
    known_or_file = {*known, *(name + FILE_SUFFIX for name in known[:-1])}
    complaints = []
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known_or_file:
            near = nearest(name.removesuffix(FILE_SUFFIX), known)
            complaints.append(f"{name} is no setting; the nearest is {near}.")
    return complaints


def _empty_secrets() -> list[str]:
    """Return a message for each secret that is set to an empty text.

    Other empty variables count as unset: compose files pass on unset variables as empty ones.
    """
    names = [PREFIX + name.upper() for name in _MUST_NOT_BE_EMPTY if name in Settings.model_fields]
    return [
        f"{name} is set and empty; give it its value, or unset it."
        for name in names
        if name in os.environ and not os.environ[name].strip()
    ]


def _where(cause: BaseException | None) -> str:
    """Return where the JSON becomes invalid, without its text, which may be a secret."""
    if isinstance(cause, json.JSONDecodeError):
        return f"it cannot be read from line {cause.lineno}, column {cause.colno} on"
    return "it cannot be read"


def _name_in(message: str) -> str:
    """Return the name of the setting that a JSON error is about."""
    for field in Settings.model_fields:
        if f'"{field}"' in message:
            return PREFIX + field.upper()
    return "a setting"


def _masked(value: object) -> object:
    match value:
        case SecretStr():
            return MASK
        case dict():
            return {key: _masked(member) for key, member in value.items()}
        case list() | tuple():
            return [_masked(item) for item in value]
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def as_json(settings: Settings) -> str:
    """Return the effective settings as JSON, with secrets masked."""
    return json.dumps(effective(settings), indent=2, ensure_ascii=False)

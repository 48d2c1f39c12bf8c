"""The settings of client keys: `[[keys]]`, `SLUICE_KEYS` and `[key_defaults]`."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NO_LIMIT = "none"
"""Removes a limit of `[key_defaults]` for one key; TOML has no null."""

_SHA256 = re.compile(r"^[0-9a-f]{64}$")


MASK = "********"
_LIKE_A_KEY = re.compile(r"(?=.*\d)[!-~]{20,}")


def unless_a_key(name: str) -> str:
    """Return the name, or a mask if it may be a key that was entered in the wrong place."""
    return MASK if _LIKE_A_KEY.fullmatch(name) else name


def _lifted(value: object) -> object:
    return None if value == NO_LIMIT else value


# Bounded so that all sums stay exact in the doubles that the store's scripts calculate in.
_Number = Annotated[int, Field(ge=1, le=1_000_000_000)]
_Money = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Limit = Annotated[_Number | None, BeforeValidator(_lifted)]
Budget = Annotated[_Money | None, BeforeValidator(_lifted)]


def sendable(key: SecretStr) -> SecretStr:
    """Validate that a header can contain the key (RFC 9110, 5.5); the error does not show it."""
    text = key.get_secret_value()
    if not text:
        raise ValueError("a key must not be empty")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(
            "a key must be printable ASCII without spaces, because it is sent in a header"
        )
    return key


Secret = Annotated[SecretStr, AfterValidator(sendable)]


class KeyDefaults(BaseModel):
    """`[key_defaults]`: the values for every key that does not set its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = ("*",)
    """Globs of the models that the key may use, as clients name them."""
    routes: tuple[str, ...] = ("*",)
    """Globs of the paths that the key may call, such as `/v1/chat/*`."""
    requests_per_minute: Limit = None
    tokens_per_minute: Limit = None
    max_streams: Limit = None
    """Requests at once, over all workers and machines."""
    budget_usd: Budget = None
    budget_period: Literal["day", "month"] = "month"
    """The calendar period of the budget, in UTC."""
    expires: Annotated[AwareDatetime | None, BeforeValidator(_lifted)] = None
    """When the key expires (RFC 3339, with its offset)."""
    priority: int = Field(0, ge=-1000, le=1000)
    """The priority in the queue; a higher one is served first."""
    upstream: Annotated[str | None, BeforeValidator(_lifted)] = None
    """The name of the upstream that the key's requests prefer."""
    resumable: bool = False
    """Whether all of its streams can be resumed, unless SLUICE_RESUMABLE is off."""

    @field_validator("models", "routes")
    @classmethod
    def _some(cls, globs: tuple[str, ...]) -> tuple[str, ...]:
        if not globs or not all(globs):
            raise ValueError('an empty list or glob would allow nothing; leave it out or use "*"')
        return globs

    @property
    def limited(self) -> bool:
        """Whether the key has a limit that is counted in the store."""
        limits = (self.requests_per_minute, self.tokens_per_minute, self.max_streams)
        return self.budget_usd is not None or any(limit is not None for limit in limits)


KeyName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f{}]{1,64}$")]


class KeySettings(KeyDefaults):
    """One entry of `[[keys]]`."""

    name: KeyName
    key: Secret | None = None
    sha256: SecretStr | None = None
    """The key's SHA-256 in hex, so that the file contains no secret."""

    @field_validator("sha256")
    @classmethod
    def _hex(cls, digest: SecretStr | None) -> SecretStr | None:
        if digest is None:
            return None
        text = digest.get_secret_value().lower().removeprefix("sha256:")
        if not _SHA256.match(text):
            raise ValueError("it must be the 64 hex digits of the key's SHA-256")
        return SecretStr(text)

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("give a key its `key` or its `sha256`, one of the two")
        return self

    @property
    def digest(self) -> bytes:
        """SHA-256 of the key."""
        if self.key is not None:
            return digest_of(self.key.get_secret_value())
        assert self.sha256 is not None
        return bytes.fromhex(self.sha256.get_secret_value())

    def over(self, defaults: KeyDefaults) -> KeySettings:
        """Return this key, completed by the defaults."""
        own: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        shared = {name: getattr(defaults, name) for name in defaults.model_fields_set}
        return KeySettings.model_construct(_fields_set=None, **{**shared, **own})


def digest_of(key: str) -> bytes:
    """Return the digest by which a key is looked up, so that the time of it reveals nothing."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def all_keys(
    keys: Iterable[KeySettings], defaults: KeyDefaults, short: Mapping[str, SecretStr]
) -> tuple[KeySettings, ...]:
    """Return every key, completed; those of the short form `SLUICE_CLIENT_KEYS` have no limits.

    Raises `ValueError` if two keys share a name or a secret; the message contains only names.
    """
    plain = (
        KeySettings.model_construct(name=name, key=SecretStr(secret.get_secret_value()))
        for name, secret in short.items()
    )
    every_key = (*(key.over(defaults) for key in keys), *plain)
    names: set[str] = set()
    owners: dict[bytes, str] = {}
    for key in every_key:
        if key.name in names:
            raise ValueError(f"two keys are called {key.name!r}; a name is for one key")
        names.add(key.name)
        if (owner := owners.setdefault(key.digest, key.name)) != key.name:
            raise ValueError(f"{owner!r} and {key.name!r} are the same key; make each its own")
    return every_key

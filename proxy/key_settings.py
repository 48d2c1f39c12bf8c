"""Client keys as data: what `[[keys]]` and `SLUICE_KEYS` may say of one, and what all share."""

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
"""TOML has no null, and a key must be able to lift what `[key_defaults]` says."""

_SHA256 = re.compile(r"^[0-9a-f]{64}$")


MASK = "********"
_LIKE_A_KEY = re.compile(r"(?=.*\d)[!-~]{20,}")


def unless_a_key(name: str) -> str:
    """A name to be told; a mask where somebody may have put a key in its place."""
    return MASK if _LIKE_A_KEY.fullmatch(name) else name


def _lifted(value: object) -> object:
    return None if value == NO_LIMIT else value


# Bounded so that all sums stay exact in the doubles that the store's scripts calculate in.
_Number = Annotated[int, Field(ge=1, le=1_000_000_000)]
_Money = Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)]
Limit = Annotated[_Number | None, BeforeValidator(_lifted)]
Budget = Annotated[_Money | None, BeforeValidator(_lifted)]


def sendable(key: SecretStr) -> SecretStr:
    """A key as a header can hold it (RFC 9110, section 5.5); else `ValueError`, without the key."""
    text = key.get_secret_value()
    if not text:
        raise ValueError("a key must not be empty")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(
            "a key is printable ASCII without spaces and line feeds, as it goes in a header"
        )
    return key


Secret = Annotated[SecretStr, AfterValidator(sendable)]


class KeyDefaults(BaseModel):
    """`[key_defaults]`: holds for every key that does not say otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[str, ...] = ("*",)
    """Globs of the models it may use, as clients name them."""
    routes: tuple[str, ...] = ("*",)
    """Globs of the paths it may call, such as `/v1/chat/*`."""
    requests_per_minute: Limit = None
    tokens_per_minute: Limit = None
    max_streams: Limit = None
    """Requests at once, over all workers and machines."""
    budget_usd: Budget = None
    budget_period: Literal["day", "month"] = "month"
    """Of the calendar, in UTC."""
    expires: Annotated[AwareDatetime | None, BeforeValidator(_lifted)] = None
    """From this moment on the key is refused (RFC 3339, with its offset)."""
    priority: int = Field(0, ge=-1000, le=1000)
    """In the waiting line; the higher goes first."""
    upstream: Annotated[str | None, BeforeValidator(_lifted)] = None
    """Name of the upstream that it goes to by default."""
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
        """Whether anything of it has to be counted in the store."""
        limits = (self.requests_per_minute, self.tokens_per_minute, self.max_streams)
        return self.budget_usd is not None or any(one is not None for one in limits)


KeyName = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f{}]{1,64}$")]


class KeySettings(KeyDefaults):
    """One entry of `[[keys]]`."""

    name: KeyName
    key: Secret | None = None
    sha256: SecretStr | None = None
    """Of the key, in hex, so that the file holds no secret."""

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
        """This key with the defaults for all that it does not say itself."""
        own: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        shared = {name: getattr(defaults, name) for name in defaults.model_fields_set}
        return KeySettings.model_construct(_fields_set=None, **{**shared, **own})


def digest_of(key: str) -> bytes:
    """What a key is looked up by: equal digests take no longer or shorter to compare by chance."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def all_keys(
    keys: Iterable[KeySettings], defaults: KeyDefaults, short: Mapping[str, SecretStr]
) -> tuple[KeySettings, ...]:
    """Every key with its rights and limits; the short form `SLUICE_CLIENT_KEYS` has no limits.

    Raises `ValueError` if two share a name or a secret; the text holds names only.
    """
    plain = (
        KeySettings.model_construct(name=name, key=SecretStr(secret.get_secret_value()))
        for name, secret in short.items()
    )
    found = (*(key.over(defaults) for key in keys), *plain)
    names: set[str] = set()
    owners: dict[bytes, str] = {}
    for key in found:
        if key.name in names:
            raise ValueError(f"two keys are called {key.name!r}; a name is for one key")
        names.add(key.name)
        if (owner := owners.setdefault(key.digest, key.name)) != key.name:
            raise ValueError(f"{owner!r} and {key.name!r} are the same key; make each its own")
    return found

"""The settings of resumable streams."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from proxy.setting_types import Seconds


class ResumeSettings(BaseModel):
    """The settings of streams that outlive their connection."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    resumable: Literal["request", "all", "off"] = Field(
        "request",
        description="which streams can be resumed: those that ask for it (`Sluice-Resumable: "
        "true`, or by key), all, or none",
    )
    resume_ttl_seconds: Seconds = Field(
        600, description="how long a resumable stream can be read after its end"
    )
    resume_stream_bytes: int = Field(
        8 * 1024 * 1024,
        ge=4096,
        le=2**31,
        description="size limit of one resumable stream; beyond it its oldest events are dropped",
    )
    resume_total_bytes: int = Field(
        128 * 1024 * 1024,
        ge=4096,
        le=2**44,
        description="size limit of all resumable streams together; beyond it the oldest "
        "are dropped",
    )
    resume_readers: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="concurrent readers of resumable streams, over all workers",
    )
    resume_readers_per_stream: int = Field(
        16, ge=1, le=10_000, description="concurrent readers of one resumable stream"
    )

"""Runs a test with each nginx of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.nginx.front import programs

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram

_PROGRAMS = programs()


@pytest.fixture(params=_PROGRAMS, ids=[program.version_text for program in _PROGRAMS])
def program(request: pytest.FixtureRequest) -> NginxProgram:
    """Return an nginx program."""
    chosen: NginxProgram = request.param
    return chosen

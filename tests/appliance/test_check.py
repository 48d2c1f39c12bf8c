"""`sluice check`: it finds what `sluice run` would trip over, and starts nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
import structlog

from proxy.appliance import check
from tests.appliance.test_preflight import settings
from tests.fixtures.ports import free_port

BAD = 78


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """The command configures it for its own process."""
    kept = structlog.get_config()
    yield
    structlog.configure(**kept)


def test_good_settings_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, with nothing to complain of, and without the keys."""
    assert check.run(settings(upstream_api_key="sk-secret-one"), BAD) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)
    assert "sk-secret-one" not in output.out + output.err
    assert "would not start" not in output.err


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """The status is that of bad settings, and the message names the one to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert check.run(settings(listen_port=taken.getsockname()[1]), BAD) == BAD
    output = capsys.readouterr()
    assert "would not start" in output.err
    assert "SLUICE_LISTEN_PORT" in output.err
    assert json.loads(output.out)


def test_a_store_that_is_away_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """It would start without; the password of the store's address is not shown."""
    url = f"redis://:hunter2@127.0.0.1:{free_port()}/0"
    assert check.run(settings(store_url=url), BAD) == 0
    output = capsys.readouterr()
    assert "SLUICE_STORE_URL" in output.err
    assert "hunter2" not in output.err + output.out
    assert "would not start" not in output.err


@pytest.mark.parametrize("url", [None, "off"])
def test_without_a_store_none_is_looked_for(
    url: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is said of what nobody wants."""
    assert check.run(settings(store_url=url), BAD) == 0
    assert "SLUICE_STORE_URL" not in capsys.readouterr().err

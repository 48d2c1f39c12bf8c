"""Scripts and their names."""

from __future__ import annotations

import pytest

from proxy.state import script
from tests.fixtures.stores import StoreServer


@pytest.mark.parametrize("name", ["reserve", "settle", "renew", "usage", "probe"])
def test_the_digest_is_the_servers(server: StoreServer, name: str) -> None:
    """EVALSHA finds what EVAL has loaded, and each compiles."""
    loaded = script.load(name)
    assert loaded.sha in server.command("SCRIPT", "LOAD", loaded.source)


def test_a_script_that_is_not_there() -> None:
    """A package that is not whole says which file is missing."""
    with pytest.raises(OSError, match=r"nothing\.lua"):
        script.load("nothing")

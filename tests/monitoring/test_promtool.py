from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.monitoring.prometheus import MONITORING

pytestmark = [
    pytest.mark.monitoring,
    pytest.mark.skipif(
        shutil.which("promtool") is None, reason="promtool is not installed (make test-monitoring)"
    ),
]


def files(folder: str) -> list[str]:
    """The YAML files of a folder."""
    return sorted(path.name for path in (MONITORING / folder).glob("*.yml"))


def promtool(*arguments: str) -> None:
    """Run it in the folder that Prometheus would read; its complaint is the failure."""
    done = subprocess.run(
        ["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_is_right() -> None:
    """Prometheus would start with it, rules included."""
    promtool("check", "config", "prometheus.yml")


@pytest.mark.parametrize("name", files("rules"))
def test_the_rules_are_right(name: str) -> None:
    """Every expression and every template can be read."""
    promtool("check", "rules", f"rules/{name}")


@pytest.mark.parametrize("name", files("tests"))
def test_alerts_fire_when_they_should_and_only_then(name: str) -> None:
    """Their unit tests pass."""
    promtool("test", "rules", f"tests/{name}")

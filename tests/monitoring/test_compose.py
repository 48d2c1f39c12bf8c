from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from proxy.settings import Settings
from tests.monitoring.prometheus import MONITORING

DEPLOY = MONITORING.parent / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


def has_compose() -> bool:
    """Whether the docker client here has compose; an engine is not needed."""
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return asked.returncode == 0


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    """No capability, no new privilege, nothing written but in its volume and in /tmp."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    """The same command starts the same programs next year."""
    assert re.search(r":v?\d+\.\d+\.\d+$", SERVICES[name]["image"])


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists(name: str) -> None:
    """Docker would make an empty folder of a missing file and say nothing."""
    sources = [volume.split(":")[0] for volume in SERVICES[name].get("volumes", ())]
    missing = [path for path in sources if path[0] == "." and not (DEPLOY / path).exists()]
    named = [path for path in sources if path[0] != "." and path not in COMPOSE["volumes"]]
    assert missing + named == []


def test_only_the_public_port_is_open_to_other_machines() -> None:
    """Admin port, Prometheus and Grafana listen on loopback."""
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == [
        "${SLUICE_PORT:-8080}:8080"
    ]


def test_sluice_is_given_settings_that_it_knows() -> None:
    """An unknown name would stop the start."""
    known = {f"SLUICE_{name.upper()}" for name in Settings.model_fields}
    assert set(SERVICES["sluice"]["environment"]) <= known


def test_the_container_waits_for_the_drain() -> None:
    """Running streams end before Docker's stop timeout."""
    drain = SERVICES["sluice"]["environment"]["SLUICE_DRAIN_SECONDS"]
    assert int(SERVICES["sluice"]["stop_grace_period"].removesuffix("s")) >= drain + 10


def test_dashboards_lie_where_grafana_looks() -> None:
    """Providers, datasource and compose file speak of the same places."""
    provisioning = MONITORING / "grafana" / "provisioning"
    provider = yaml.safe_load((provisioning / "dashboards" / "sluice.yml").read_text())
    path = provider["providers"][0]["options"]["path"]
    grafana = SERVICES["grafana"]
    assert f"../monitoring/grafana/dashboards:{path}:ro" in grafana["volumes"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{path}/sluice.json"
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())
    assert source["datasources"][0]["url"].strip("$") in grafana["environment"]


def test_grafana_knows_how_often_prometheus_scrapes() -> None:
    """Its rate intervals would otherwise be too short, and panels empty."""
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    source = MONITORING / "grafana/provisioning/datasources/prometheus.yml"
    data = yaml.safe_load(source.read_text())["datasources"][0]["jsonData"]
    assert data["timeInterval"] == config["global"]["scrape_interval"]


@pytest.mark.skipif(not has_compose(), reason="docker compose is not installed")
def test_docker_compose_takes_the_file() -> None:
    """`docker compose config` finds nothing wrong."""
    command = ["docker", "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

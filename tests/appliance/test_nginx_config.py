from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from proxy.appliance.nginx_config import CannotRender, render, values_for
from proxy.appliance.nginx_program import NginxProgram
from proxy.appliance.nginx_sizing import Connections
from proxy.appliance.run_directory import RunDirectory
from proxy.settings import Settings
from tests.nginx.pem import ONE

SIZES = Connections(processes=1, connections=1024, files=2048, backlog=4096)


def values(
    *,
    user: str | None = None,
    version: tuple[int, ...] = (1, 26),
    sizes: Connections = SIZES,
    **settings: Any,
) -> dict[str, str]:
    """The values for some settings."""
    directory = RunDirectory(Path("/run/x"), user)
    program = NginxProgram("nginx", version)
    return values_for(
        Settings(**settings),
        run=directory,
        program=program,
        sizes=sizes,
    )


def test_several_processes_share_the_connections() -> None:
    """Each has a socket of its own in the kernel, which deals the connections out."""
    assert "reuseport" not in values()["LISTEN_OPTIONS"]
    assert values(sizes=dataclasses.replace(SIZES, processes=2))["NGINX_WORKERS"] == "2"
    assert "reuseport" in values(sizes=dataclasses.replace(SIZES, processes=2))["LISTEN_OPTIONS"]


@pytest.mark.parametrize(
    ("version", "option", "directive"), [((1, 22, 1), "http2", ""), ((1, 31, 3), "", "http2 on;")]
)
def test_http2_is_said_once(version: tuple[int, ...], option: str, directive: str) -> None:
    """Either the old way or the new one, by version."""
    given = values(version=version)
    assert (given["HTTP2_LISTEN_OPTION"], given["HTTP2_DIRECTIVE"]) == (option, directive)


@pytest.mark.parametrize("path", ['/etc/a"b.pem', "/etc/$HOME.pem", "/etc/a\\b.pem", "/a\nb"])
def test_a_path_that_nginx_cannot_quote_is_refused(path: str) -> None:
    """No value can end a quoted word, begin a variable or smuggle in a directive."""
    with pytest.raises(CannotRender, match="SLUICE_TLS_KEY"):
        values(tls_certificate="/etc/c.pem", tls_key=path)


@pytest.mark.parametrize(
    ("euid", "given", "directive"),
    [
        (0, "nobody nogroup", "user nobody nogroup;"),
        (0, None, "user root root;"),
        (10_001, None, ""),
    ],
)
def test_only_root_says_who_nginx_is(
    monkeypatch: pytest.MonkeyPatch, euid: int, given: str | None, directive: str
) -> None:
    """Root names a user, itself if need be; anybody else can only be who they are."""
    monkeypatch.setattr("os.geteuid", lambda: euid)
    assert values(user=given)["USER_DIRECTIVE"] == directive


def test_an_ipv6_address_is_bracketed() -> None:
    """So that its colons are not taken for the port's."""
    assert values(listen_address="::1")["LISTEN_ADDRESS"] == "[::1]"
    assert values(listen_address="127.0.0.1")["LISTEN_ADDRESS"] == "127.0.0.1"


def test_all_addresses_are_those_of_both_kinds() -> None:
    """Who listens on `::` is reached over IPv4 as well."""
    assert "ipv6only=off" in values(listen_address="::")["LISTEN_OPTIONS"]
    assert "ipv6only" not in values(listen_address="::1")["LISTEN_OPTIONS"]
    assert "ipv6only" not in values(listen_address="0.0.0.0")["LISTEN_OPTIONS"]


def test_every_worker_is_a_server() -> None:
    """Each unix socket has its line, and none is ever marked as failed."""
    lines = values(workers=3)["WORKER_SERVERS"].splitlines()
    assert lines[2].strip() == 'server "unix:/run/x/worker-2.sock" max_fails=0;'
    assert len(lines) == 3


@pytest.mark.parametrize("certificate", [True, False])
def test_the_tls_server_is_there_with_a_certificate(tmp_path: Path, certificate: bool) -> None:
    """Without a certificate nothing of TLS is listened on."""
    tls: dict[str, Any] = (
        {"tls_certificate": ONE.certificate, "tls_key": ONE.key} if certificate else {}
    )
    render(values(**tls), tmp_path / "nginx")
    assert (tmp_path / "nginx" / "servers" / "https.conf").exists() is certificate
    assert (tmp_path / "nginx" / "servers" / "http.conf").exists()


@pytest.mark.parametrize("playground", ["on", "off"])
def test_the_playground_is_served_where_it_is_on(tmp_path: Path, playground: str) -> None:
    """Its files are copied to where nginx, as nobody, can read them."""
    render(values(playground=playground), tmp_path / "nginx")
    assert (tmp_path / "nginx/snippets/playground.conf").exists() is (playground == "on")
    assert (tmp_path / "playground/index.html").exists() is (playground == "on")


def test_a_name_without_a_value_is_an_error(tmp_path: Path) -> None:
    """A forgotten value does not become a strange configuration."""
    with pytest.raises(KeyError, match="MAX_BODY_BYTES"):
        render({k: v for k, v in values().items() if k != "MAX_BODY_BYTES"}, tmp_path / "nginx")


def test_every_value_is_used(tmp_path: Path) -> None:
    """No value is computed that the files do not ask for."""
    named = "".join(
        path.read_text() for path in (Path(__file__).parents[2] / "nginx").rglob("*.conf")
    )
    assert [name for name in values() if f"${{{name}}}" not in named] == []

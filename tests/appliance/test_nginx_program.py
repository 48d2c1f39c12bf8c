from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.appliance import nginx_program
from proxy.appliance.nginx_program import NginxProgram, NoNginx, find, version_of

if TYPE_CHECKING:
    from pathlib import Path


def fake(folder: Path, says: str) -> str:
    """A program that says something on stderr, as `nginx -v` does."""
    folder.mkdir(exist_ok=True)
    program = folder / "nginx"
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    ("version", "directive"),
    [((1, 22, 1), False), ((1, 25), False), ((1, 25, 1), True), ((1, 26, 3), True), ((2,), True)],
)
def test_http2_is_spelled_by_version(version: tuple[int, ...], directive: bool) -> None:
    """Since 1.25.1 HTTP/2 is a directive of its own."""
    assert NginxProgram("nginx", version).has_http2_directive is directive


def test_the_system_s_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the operator installed is preferred to what a Python package brought along."""
    system = fake(tmp_path, "nginx version: nginx/1.26.3 (Debian)")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find() == NginxProgram(system, (1, 26, 3))


def test_one_that_is_too_old_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old nginx on the path gives way to a newer one."""
    old = fake(tmp_path / "old", "nginx version: nginx/1.14.2")
    new = fake(tmp_path / "new", "nginx version: nginx/1.31.3")
    monkeypatch.setattr(nginx_program, "candidates", lambda: iter([old, new]))
    assert find().path == new


def test_one_that_joins_repeated_fields_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 1.23 only the first of two Connection fields can be seen; better that than none."""
    first = fake(tmp_path / "first", "nginx version: nginx/1.22.1")
    joins = fake(tmp_path / "joins", "nginx version: nginx/1.23.0")
    monkeypatch.setattr(nginx_program, "candidates", lambda: iter([first, joins]))
    assert find().path == joins
    monkeypatch.setattr(nginx_program, "candidates", lambda: iter([first]))
    assert find().path == first


def test_what_the_operator_wants_is_taken_or_refused(tmp_path: Path) -> None:
    """A path in the settings is never silently replaced by another nginx."""
    assert find(fake(tmp_path, "nginx version: nginx/1.22.0")).version == (1, 22, 0)
    with pytest.raises(NoNginx, match=r"1\.14\.2"):
        find(fake(tmp_path, "nginx version: nginx/1.14.2"))
    with pytest.raises(NoNginx, match="No such file"):
        find("/no/such/nginx")


def test_none_at_all_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what is missing and what would help."""
    monkeypatch.setattr(nginx_program, "candidates", lambda: iter(()))
    with pytest.raises(NoNginx, match=r"1\.22 or newer.*Install nginx"):
        find()


def test_another_program_is_no_nginx(tmp_path: Path) -> None:
    """Whatever else lies at that path is recognised by what it says."""
    with pytest.raises(ValueError, match="not nginx"):
        version_of(fake(tmp_path, "apache 2.4"))

"""The package's structure: directions of imports, who makes HTTP calls, lengths of files."""

from __future__ import annotations

import ast
import graphlib
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "proxy"
FILES = sorted(PACKAGE.rglob("*.py"))
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in FILES}

# A room may import itself and what is named here; a room that is absent has no place yet.
# "base" are the modules that lie in proxy/ itself: settings, errors, record and their like.
MIDDLE = {"relay", "upstream", "meter", "state"}
BELOW: dict[str, set[str]] = {
    "base": set(),
    "http": {"base"},
    "relay": {"base", "http"},
    "upstream": {"base", "http"},
    "meter": {"base", "http"},
    "state": {"base", "http"},
    "edge": {"base", "http"} | MIDDLE,
    "appliance": {"base", "edge", "http"} | MIDDLE,
    "demo": set(),
    "__main__": {"base", "http", "edge", "appliance", "demo"} | MIDDLE,
}


def room_of(module: str) -> str:
    """The room of a dotted module name: a folder of proxy/, `__main__`, or base."""
    parts = module.split(".")
    if len(parts) > 1 and ((PACKAGE / parts[1]).is_dir() or parts[1] in BELOW):
        return parts[1]
    return "base"


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module of `proxy` that the code names, whether at the top, late or for types only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = package.split(".")[: 1 - node.level or None]
                origin = ".".join([*above, origin] if origin else above)
            if is_ours(origin):
                yield from (f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            named = (str(arg.value) for arg in node.args if isinstance(arg, ast.Constant))
            yield from filter(is_ours, named)


def is_ours(module: str) -> bool:
    """Whether a dotted name lies in the package."""
    return module == "proxy" or module.startswith("proxy.")


def wrong_arrows(source: str, module: str) -> list[str]:
    """The imports of a module that go up or sideways, as `room -> module`."""
    room = room_of(module)
    package = module if module.endswith(".__init__") else module.rpartition(".")[0]
    allowed = BELOW[room] | {room}
    modules = imported(ast.parse(source), package.removesuffix(".__init__"))
    return [f"{room} -> {target}" for target in modules if room_of(target) not in allowed]


def module_name(path: Path) -> str:
    """The dotted name of a file, packages with their `__init__`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_imports_only_go_down() -> None:
    """No file of a room imports from a room above it or beside it."""
    wrong = {name: wrong_arrows(text, module_name(ROOT / name)) for name, text in TEXTS.items()}
    assert {name: arrows for name, arrows in wrong.items() if arrows} == {}


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Files that import each other, directly or by way of others, types included."""
    cycles, order = [], graphlib.TopologicalSorter(arrows)
    try:
        order.prepare()
    except graphlib.CycleError as error:
        cycles.append(list(error.args[1]))
    return cycles


def test_no_circle_between_files() -> None:
    """Every file can be read after those that it imports."""
    modules = {module_name(path).removesuffix(".__init__"): path for path in FILES}
    arrows = {}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        targets = set(imported(ast.parse(path.read_text()), package))
        near = {target if target in modules else target.rpartition(".")[0] for target in targets}
        arrows[name] = (near & set(modules)) - {name}
    assert circles(arrows) == []


def test_a_circle_is_seen() -> None:
    """Also one of three files."""
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert not circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})


@pytest.mark.parametrize(
    ("source", "module", "wrong"),
    [
        ("from proxy.edge import app", "proxy.relay.body_relay", ["relay -> proxy.edge.app"]),
        ("from proxy import edge", "proxy.settings", ["base -> proxy.edge"]),
        ("import proxy.meter.tally", "proxy.relay.body_relay", ["relay -> proxy.meter.tally"]),
        ("from ..meter import tally", "proxy.relay.body_relay", ["relay -> proxy.meter.tally"]),
        ("from . import sse", "proxy.relay.body_relay", []),
        ("from .sse import Framer", "proxy.relay.__init__", []),
        (
            "from proxy.settings import Settings",
            "proxy.demo.app",
            ["demo -> proxy.settings.Settings"],
        ),
        ("def late():\n    import proxy.appliance", "proxy.edge.app", ["edge -> proxy.appliance"]),
        ("import_module('proxy.edge')", "proxy.state.log", ["state -> proxy.edge"]),
        ("from proxy.relay import body_relay\nimport aiohttp", "proxy.edge.forward", []),
    ],
)
def test_an_arrow_in_the_wrong_direction_is_seen(
    source: str, module: str, wrong: list[str]
) -> None:
    """The reader of imports finds upward and sideways ones however they are written."""
    assert wrong_arrows(source, module) == wrong


def test_the_bench_stands_alone() -> None:
    """The benchmark measures from outside; only the guard, which counts instructions, looks in."""
    places = [place for place in (ROOT / "bench").iterdir() if place.name[0] != "."]
    for place in places:
        for path in [place] if place.suffix == ".py" else place.rglob("*.py"):
            looks_in = list(imported(ast.parse(path.read_text()), "bench"))
            assert not looks_in or place.name == "guard", path


def opens_sessions(source: str) -> bool:
    """Whether code can reach `aiohttp.ClientSession` while it runs; naming its type is free."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = []
    return any(
        isinstance(node, ast.Attribute | ast.alias)
        and "ClientSession" in {getattr(node, "attr", None), getattr(node, "name", None)}
        for node in ast.walk(tree)
    )


def test_only_the_transport_opens_client_sessions() -> None:
    """`aiohttp.ClientSession` is used in upstream/transport.py and nowhere else."""
    opening = [name for name, text in TEXTS.items() if opens_sessions(text)]
    assert opening == ["proxy/upstream/transport.py"]


@pytest.mark.parametrize(
    ("source", "opens"),
    [
        ("from aiohttp import ClientSession", True),
        ("from aiohttp import ClientSession as Innocent", True),
        ("import aiohttp\nasync def ask():\n    return aiohttp.ClientSession()", True),
        ("from aiohttp import web", False),
        ("if TYPE_CHECKING:\n    from aiohttp import ClientSession", False),
    ],
)
def test_a_session_elsewhere_is_seen(source: str, opens: bool) -> None:
    """Any way to a client session is found, a mere type is not."""
    assert opens_sessions(source) is opens


def test_a_file_fits_one_sitting() -> None:
    """No file of the package is longer than 300 lines."""
    assert [name for name, text in TEXTS.items() if len(text.splitlines()) > 300] == []


def test_the_usual_file_is_short() -> None:
    """The median file of the package, packages' own `__init__` aside, is under 150 lines."""
    lengths = [len(path.read_text().splitlines()) for path in FILES if path.name != "__init__.py"]
    assert statistics.median(lengths) < 150


def file_of_tests(path: Path) -> Path:
    """Where the tests of a module are."""
    inside = path.relative_to(PACKAGE)
    return ROOT / "tests" / inside.with_name(f"test_{inside.name}")


def test_every_module_has_a_test_file() -> None:
    """Whoever changes a module knows where its promises are."""
    modules = [path for path in FILES if path.name != "__init__.py"]
    assert [str(path) for path in modules if not file_of_tests(path).is_file()] == []

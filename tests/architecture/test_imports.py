"""Imports point inward: functions -> doors -> engine -> log; only bootstrap picks adapters."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.template import ROOT

PACKAGE = ROOT / "layers/cueline"
SOURCES = sorted((PACKAGE / "cueline").rglob("*.py"))
HANDLERS = sorted((ROOT / "functions").rglob("*.py"))

# What each part of the package may import of the others.
MAY_IMPORT = {
    "cueline.log": {"cueline.log", "cueline.errors"},
    "cueline.engine": {"cueline.engine", "cueline.log", "cueline.errors"},
    "cueline.doors": {"cueline.doors", "cueline.engine", "cueline.log", "cueline.errors"},
    "cueline.adapters": {"cueline.adapters", "cueline.engine", "cueline.log", "cueline.errors"},
    "cueline.errors": set(),
    "cueline.settings": {"cueline.errors", "cueline.engine.agent", "cueline.engine.prices"},
    "cueline.start": set(),
}
# The pure half of the engine: what a turn does next, and what the ports look like.
PURE = [
    *(PACKAGE / "cueline/log").glob("*.py"),
    *(
        PACKAGE / "cueline/engine" / f"{name}.py"
        for name in (
            *(
                "agent",
                "background",
                "compaction",
                "conditions",
                "limits",
                "listeners",
                "model",
                "ports",
                "prices",
            ),
            *("prompt", "room", "steps", "tools", "work"),
        )
    ),
]
IMPURE = {
    "datetime",
    "os",
    "random",
    "secrets",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uuid",
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            # `from cueline import errors` imports cueline.errors.
            yield from (
                (f"{module}.{alias.name}" for alias in node.names)
                if module in {"cueline", "cueline.engine", "cueline.doors"}
                else [module]
            )


def under(module: str, packages: set[str]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def of_package(path: Path) -> set[str]:
    return {module for module in imports(path) if under(module, {"cueline"})}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: module_of(path))
def test_imports_point_inward(path: Path) -> None:
    part = next((part for part in MAY_IMPORT if under(module_of(path), {part})), None)
    if part is None:
        assert module_of(path) in {"cueline", "cueline.bootstrap"}, "a module without a place"
        return
    outward = {module for module in of_package(path) if not under(module, MAY_IMPORT[part])}
    assert not outward


@pytest.mark.parametrize("path", HANDLERS, ids=lambda path: path.parent.name)
def test_a_handler_gets_its_adapters_from_bootstrap(path: Path) -> None:
    assert not {module for module in of_package(path) if under(module, {"cueline.adapters"})}


@pytest.mark.parametrize("path", PURE, ids=lambda path: module_of(path))
def test_the_pure_core_imports_the_standard_library_and_pydantic_only(path: Path) -> None:
    roots = {module.split(".")[0] for module in imports(path)}
    assert roots <= sys.stdlib_module_names | {"pydantic", "cueline"}
    assert not roots & IMPURE
    assert all(
        under(module, {"cueline.log", "cueline.errors", "cueline.engine"})
        for module in of_package(path)
    )


@pytest.mark.parametrize(
    "path", [*SOURCES, *HANDLERS], ids=lambda path: path.parent.name + "/" + path.stem
)
def test_only_settings_reads_the_environment(path: Path) -> None:
    if path == PACKAGE / "cueline/settings.py":
        return
    reads = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"})
        or (isinstance(node, ast.ImportFrom) and node.module == "os")
    ]
    assert not reads


def test_the_rules_see_what_they_forbid(tmp_path: Path) -> None:
    sample = tmp_path / "sample.py"
    sample.write_text("def f():\n    from cueline import bootstrap\n    import os.path\n")
    assert set(imports(sample)) == {"cueline.bootstrap", "os.path"}

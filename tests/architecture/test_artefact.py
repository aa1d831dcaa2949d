"""What `sam build` makes: byte code that is there and valid, and nothing that should not be."""

import importlib.util
import marshal
import os
import subprocess
import sys
from pathlib import Path
from types import CodeType

import pytest

from local import template
from local.template import ROOT

LAYERS = {"DependenciesLayer": 1000, "CuelineLayer": 10}
UNCHECKED_HASH = (1).to_bytes(4, "little")  # PEP 552: a hash, and nobody checks it


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_brings_valid_byte_code_for_every_module(built: Path, layer: str) -> None:
    """SAM drops byte code and zips with 1980 dates; a cold start would compile it all again."""
    sources = [*(built / layer / "python").rglob("*.py")]
    assert len(sources) >= LAYERS[layer]
    for source in sources:
        cached = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        assert cached[:4] == importlib.util.MAGIC_NUMBER
        assert cached[4:8] == UNCHECKED_HASH
        assert cached[8:16] == importlib.util.source_hash(source.read_bytes())


def test_byte_code_names_the_place_it_has_on_lambda(built: Path) -> None:
    source = built / "CuelineLayer/python/cueline/errors.py"
    cached = Path(importlib.util.cache_from_source(str(source))).read_bytes()
    code = marshal.loads(cached[16:])
    assert isinstance(code, CodeType)
    assert code.co_filename == "/opt/python/cueline/errors.py"


@pytest.mark.parametrize("name", template.functions(template.load()))
def test_a_function_is_its_own_folder_and_nothing_else(built: Path, name: str) -> None:
    folder = template.functions(template.load())[name]["Properties"]["CodeUri"]
    files = {
        path.relative_to(built / name).as_posix()
        for path in (built / name).rglob("*")
        if path.is_file()
    }
    ours = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob("*.*")}
    assert files == ours
    assert f"{folder}/app.py" in files


@pytest.mark.parametrize("name", template.functions(template.load()))
def test_a_function_needs_only_its_layers(built: Path, name: str) -> None:
    """Imported as on Lambda: no site packages, nothing of this repository."""
    folder = template.functions(template.load())[name]["Properties"]["CodeUri"]
    path = [built / name, *(built / layer / "python" for layer in LAYERS)]
    run = subprocess.run(
        [sys.executable, "-S", "-B", "-c", f"import {folder.replace('/', '.')}.app"],
        cwd=built / name,
        env={"PYTHONPATH": os.pathsep.join(map(str, path)), "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


def test_the_tools_that_are_shipped_are_there(built: Path) -> None:
    ours = {path.name for path in (ROOT / "layers/cueline/agent_tools").glob("*.py")}
    assert {path.name for path in (built / "CuelineLayer/python/agent_tools").glob("*.py")} == ours


def test_layers_leave_room_on_lambda(built: Path) -> None:
    """It takes 250 MB unpacked, with the function's own."""
    files = [path for layer in LAYERS for path in (built / layer).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 150_000_000


def test_the_start_script_stays_executable(built: Path) -> None:
    assert os.access(built / "AgentEventsFunction/functions/agent_events/run.sh", os.X_OK)

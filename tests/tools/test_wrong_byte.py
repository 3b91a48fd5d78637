"""A wrong byte in the Python that runs in the browser stops the build of the live notebooks."""

import hashlib
import importlib.util
import io
import tarfile
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
WHEEL = "numpy-2-cp314-cp314-wasm32.whl"
DATA = bytes(range(256))
FLIPPED = DATA[:100] + bytes([DATA[100] ^ 1]) + DATA[101:]


def load(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("data", [DATA, FLIPPED], ids=["as released", "one bit flipped"])
def test_a_compiled_wheel_is_the_released_one(tmp_path, data):
    archive = tmp_path / "release.tar.bz2"
    with tarfile.open(archive, "w:bz2") as tar:
        member = tarfile.TarInfo(f"pyodide/{WHEEL}")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    packages = {"numpy": {"file_name": WHEEL, "sha256": hashlib.sha256(DATA).hexdigest()}}
    recipe = load("pyodide_dist")
    if data == DATA:
        recipe.compiled(tmp_path, packages, tmp_path, archive)
        assert (tmp_path / WHEEL).read_bytes() == DATA
    else:
        with pytest.raises(SystemExit, match=f"{WHEEL} has SHA-256"):
            recipe.compiled(tmp_path, packages, tmp_path, archive)


def test_a_file_that_changed_after_the_check_is_not_published(tmp_path):
    build = load("build_lite")
    (tmp_path / "pyodide.asm.wasm").write_bytes(DATA)
    sums = {"pyodide.asm.wasm": build.sha256(tmp_path / "pyodide.asm.wasm")}
    build.demand_unchanged(tmp_path, sums)
    (tmp_path / "pyodide.asm.wasm").write_bytes(FLIPPED)
    with pytest.raises(SystemExit, match="is not the file that was checked"):
        build.demand_unchanged(tmp_path, sums)
    (tmp_path / "pyodide.asm.wasm").unlink()
    with pytest.raises(SystemExit, match="is not the file that was checked"):
        build.demand_unchanged(tmp_path, sums)

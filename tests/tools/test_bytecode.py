"""Archives of modules become archives of bytecode: what goes, what stays, and that Python believes it."""

import importlib.util
import inspect
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {
    "pack/__init__.py": "",
    "pack/right.py": 'def answer():\n    """Documented."""\n    return 6 * 7\n',
    "pack/rare.py": "value = 1\n",
    "pack/template.py": "{{ no program }}\n",
    "pack/table.json": "{}",
    "pack/tests/test_right.py": "assert False\n",
    "pack/include/right.h": "int answer(void);",
    "pack/fonts/old.afm": "",
}


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("bytecode", ROOT / "tools" / "bytecode.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source(tmp_path):
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    return tmp_path / "source.zip"


@pytest.fixture
def unpacked(tmp_path, monkeypatch):
    """unpacked(archive): its names; what is in it can be imported."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(tmp_path / "lib")

    def unpack(archive):
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(tmp_path / "lib")
            return set(zipped.namelist())

    yield unpack
    for name in [name for name in sys.modules if name.partition(".")[0] == "pack"]:
        del sys.modules[name]


def test_bytecode_takes_the_place_of_sources(recipe, source, unpacked, tmp_path):
    only = [f"/lib/{name}" for name in FILES if "rare" not in name]
    count = recipe.convert(source, tmp_path / "out.zip", "/lib", only=only, drop=r"\.afm$")
    names = unpacked(tmp_path / "out.zip")
    kept = {"pack/rare.py", "pack/template.py", "pack/table.json"}
    assert names == kept | {"pack/__init__.pyc", "pack/right.pyc"} and count == 2
    right = importlib.import_module("pack.right")
    assert right.answer() == 42 and right.answer.__doc__ == "Documented."
    assert right.answer.__code__.co_filename == "/lib/pack/right.py"
    with pytest.raises(OSError, match="source"):
        inspect.getsource(right.answer)


def test_sources_that_a_reader_looks_at_stay(recipe, source, unpacked, tmp_path):
    recipe.convert(source, tmp_path / "out.zip", "/lib", keep_sources="^pack/")
    names = unpacked(tmp_path / "out.zip")
    assert {"pack/right.py", recipe.in_pycache("pack/right.py")} <= names
    right = importlib.import_module("pack.right")
    assert "return 6 * 7" in inspect.getsource(right.answer)


def test_the_bytecode_is_believed_and_not_made_again(recipe, source, unpacked, tmp_path):
    """An unchecked hash: with another source beside it, the bytecode still counts."""
    recipe.convert(source, tmp_path / "out.zip", "/lib", keep_sources="^pack/")
    unpacked(tmp_path / "out.zip")
    (tmp_path / "lib" / "pack" / "right.py").write_text("def answer():\n    return 0\n")
    assert importlib.import_module("pack.right").answer() == 42


def test_the_same_archive_gives_the_same_bytes(recipe, source, tmp_path):
    for name in ("one.zip", "two.zip"):
        recipe.convert(source, tmp_path / name, "/lib")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()

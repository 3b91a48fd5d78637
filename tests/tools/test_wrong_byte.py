"""A wrong byte in the Python that runs in the browser stops the build of the live notebooks."""

import hashlib
import importlib.util
import io
import re
import sys
import tarfile
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHEEL = "numpy-2-cp314-cp314-wasm32.whl"
DATA = bytes(range(256))
FLIPPED = DATA[:100] + bytes([DATA[100] ^ 1]) + DATA[101:]


def load(name, monkeypatch):
    """A tool as a module; what it imports from the environment of the live notebooks is not needed here."""
    for missing in ("jupyterlite_pyodide_kernel", "jupyterlite_pyodide_kernel.constants"):
        monkeypatch.setitem(sys.modules, missing, types.ModuleType(missing))
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def release(folder, data):
    """A release archive with one wheel in it, and the lock's entries for what was released."""
    archive = folder / "release.tar.bz2"
    with tarfile.open(archive, "w:bz2") as tar:
        member = tarfile.TarInfo(f"pyodide/{WHEEL}")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    entry = {"name": "numpy", "file_name": WHEEL, "sha256": hashlib.sha256(DATA).hexdigest(), "depends": []}
    return archive, {"numpy": entry}


def test_pyodide_itself_is_the_published_one(tmp_path, monkeypatch):
    recipe = load("pyodide_dist", monkeypatch)
    (tmp_path / f"pyodide-{recipe.PYODIDE}.tgz").write_bytes(b"not what it should be")
    with pytest.raises(SystemExit, match="is not the published one: its SHA-256"):
        recipe.core(tmp_path / "part", tmp_path)


@pytest.mark.parametrize("data", [DATA, FLIPPED], ids=["as released", "one bit flipped"])
@pytest.mark.parametrize("form", [str, Path.as_uri], ids=["a file", "an address"])
def test_a_compiled_wheel_is_the_released_one(tmp_path, monkeypatch, data, form):
    archive, packages = release(tmp_path, data)
    recipe = load("pyodide_dist", monkeypatch)
    part = recipe.fresh(tmp_path / "part")
    if data == DATA:
        recipe.official(part, packages, tmp_path, form(archive))
        assert (part / WHEEL).read_bytes() == DATA
    else:
        with pytest.raises(SystemExit, match=f"{WHEEL} has SHA-256"):
            recipe.official(part, packages, tmp_path, form(archive))
        assert not list(part.iterdir())


def test_the_release_is_asked_first_and_what_is_kept_is_checked_again(tmp_path, monkeypatch):
    archive, packages = release(tmp_path, DATA)
    recipe = load("pyodide_dist", monkeypatch)
    monkeypatch.setattr(recipe, "FILES", (tmp_path / "nowhere").as_uri() + "/")
    monkeypatch.setattr(recipe, "RELEASE", archive.as_uri())
    monkeypatch.setattr(recipe, "from_carrier", None)  # nobody may ask it
    recipe.official(recipe.fresh(tmp_path / "part"), packages, tmp_path)
    archive.unlink()
    recipe.official(recipe.fresh(tmp_path / "part"), packages, tmp_path)  # from the cache
    (kept,) = tmp_path.glob(f"wheels-*/{WHEEL}")
    kept.write_bytes(FLIPPED)
    with pytest.raises(SystemExit, match=r"release\.tar\.bz2"):
        recipe.official(recipe.fresh(tmp_path / "part"), packages, tmp_path, str(archive))


@pytest.mark.parametrize("data", [DATA, FLIPPED], ids=["as released", "one bit flipped"])
def test_a_wheel_by_itself_is_the_released_one(tmp_path, monkeypatch, data):
    """Only what is wanted is fetched, where that is possible."""
    _, packages = release(tmp_path, DATA)
    recipe = load("pyodide_dist", monkeypatch)
    served = recipe.fresh(tmp_path / "served")
    (served / WHEEL).write_bytes(data)
    monkeypatch.setattr(recipe, "FILES", served.as_uri() + "/")
    monkeypatch.setattr(recipe, "from_archive", None)  # nobody may ask it
    part = recipe.fresh(tmp_path / "part")
    if data == DATA:
        recipe.official(part, packages, tmp_path)
        assert (part / WHEEL).read_bytes() == DATA
    else:
        with pytest.raises(SystemExit, match=f"{WHEEL} has SHA-256"):
            recipe.official(part, packages, tmp_path)
        assert not list(part.iterdir())


def test_what_cannot_be_had_is_told_from_what_is_wrong(tmp_path, monkeypatch, capsys):
    """The book's build goes on without the one, and stops at the other."""
    recipe = load("pyodide_dist", monkeypatch)
    monkeypatch.setattr(recipe.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["pyodide_dist.py", str(tmp_path / "out"), "--page", "--cache", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        recipe.main()
    assert end.value.code == recipe.UNAVAILABLE != 1
    assert "install Node.js with npm" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_where_the_release_cannot_be_had_the_carrier_is_checked_too(tmp_path, monkeypatch, capsys):
    _, packages = release(tmp_path, DATA)
    recipe = load("pyodide_dist", monkeypatch)
    monkeypatch.setattr(recipe, "FILES", (tmp_path / "nowhere").as_uri() + "/")
    monkeypatch.setattr(recipe, "RELEASE", (tmp_path / "nowhere").as_uri())
    monkeypatch.setattr(recipe, "from_pypi", lambda *_: None)
    name = f"{recipe.CARRIER[0].replace('-', '_')}-{recipe.CARRIER[1]}-py3-none-any.whl"
    for data in (FLIPPED, DATA):
        with recipe.zipfile.ZipFile(tmp_path / name, "w") as carrier:
            carrier.writestr(f"app/frontend/pyodide/{WHEEL}", data)
        if data == DATA:
            recipe.official(recipe.fresh(tmp_path / "part"), packages, tmp_path)
            assert (tmp_path / "part" / WHEEL).read_bytes() == DATA
        else:
            with pytest.raises(SystemExit, match=f"{WHEEL} has SHA-256"):
                recipe.official(recipe.fresh(tmp_path / "part"), packages, tmp_path)
    assert "cannot be had here" in capsys.readouterr().out


def test_a_package_that_is_needed_and_not_there_stops_the_build(tmp_path, monkeypatch):
    _, packages = release(tmp_path, DATA)
    recipe = load("pyodide_dist", monkeypatch)
    (tmp_path / WHEEL).write_bytes(DATA)
    recipe.check(tmp_path, packages)
    packages["numpy"]["depends"] = ["Open_BLAS"]
    with pytest.raises(SystemExit, match="numpy needs open-blas"):
        recipe.check(tmp_path, packages)
    packages["numpy"]["depends"] = []
    (tmp_path / WHEEL).write_bytes(FLIPPED)
    with pytest.raises(SystemExit, match="not the file of the lock"):
        recipe.check(tmp_path, packages)


def test_a_kernel_for_another_pyodide_stops_the_build(tmp_path, monkeypatch):
    recipe = load("pyodide_dist", monkeypatch)
    sys.modules["jupyterlite_pyodide_kernel.constants"].PYODIDE_VERSION = "314.0.99"
    monkeypatch.setattr(sys, "argv", ["pyodide_dist.py", str(tmp_path / "out")])
    with pytest.raises(SystemExit, match=r"made for Pyodide 314\.0\.99"):
        recipe.main()


def test_kernel_and_widgets_are_of_the_versions_that_fit(monkeypatch):
    """The pairs that must move together, as they are pinned."""
    groups = (ROOT / "pyproject.toml").read_text("utf8")
    kernel, pyodide = re.search(r"jupyterlite-pyodide-kernel==([\d.]+)\".*?Pyodide ([\d.]+\d)", groups).groups()
    assert pyodide == load("pyodide_dist", monkeypatch).PYODIDE
    for file, pins in {
        "lite/requirements.txt": {"jupyterlite-pyodide-kernel": kernel, "jupyterlab-widgets": "3.0.17"},
        "requirements.txt": {"ipywidgets": "8.1.9", "jupyterlab-widgets": "3.0.17"},
    }.items():
        text = (ROOT / file).read_text("utf8")
        assert all(f"\n{name}=={version} " in text for name, version in pins.items()), file


def test_a_file_that_changed_after_the_check_is_not_published(tmp_path, monkeypatch):
    build = load("build_lite", monkeypatch)
    (tmp_path / "pyodide.asm.wasm").write_bytes(DATA)
    sums = {"pyodide.asm.wasm": build.sha256(tmp_path / "pyodide.asm.wasm")}
    build.demand_unchanged(tmp_path, sums)
    (tmp_path / "pyodide.asm.wasm").write_bytes(FLIPPED)
    with pytest.raises(SystemExit, match="is not the file that was checked"):
        build.demand_unchanged(tmp_path, sums)
    (tmp_path / "pyodide.asm.wasm").unlink()
    with pytest.raises(SystemExit, match="is not the file that was checked"):
        build.demand_unchanged(tmp_path, sums)


def test_a_script_that_is_not_as_expected_is_not_changed(tmp_path, monkeypatch):
    recipe = load("pyodide_dist", monkeypatch)
    script = tmp_path / "pyodide.asm.mjs"
    script.write_text("; ".join(old for old, _ in recipe.QUICKER))
    recipe.quicken(script)
    assert script.read_text() == "; ".join(new for _, new in recipe.QUICKER)
    script.write_text("; ".join(old for old, _ in recipe.QUICKER[1:]))
    with pytest.raises(SystemExit, match="does not have once what is to be changed: var GOT="):
        recipe.quicken(script)
    assert "GOT_NEW" not in script.read_text()

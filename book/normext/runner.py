"""Cells that a reader can edit and run where they stand, with Python in the page.

What a page needs for that comes from npm and from Pyodide's release, checked by their hashes, and is kept in .cache:

``_static/python``            Pyodide, NumPy and Matplotlib as bytecode, the book's packages (tools/pyodide_dist.py)
``_static/vendor/editor.js``  CodeMirror in one file (book/normext/editor)
``_static/cells``             for each chapter the sources of its cells, those that the page hides among them

Where they cannot be had the pages have no buttons, and the build says so in one line.
"""

import ast
import functools
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from docutils import nodes
from myst_nb.core.read import create_nb_reader
from sphinx.errors import ExtensionError
from sphinx.util import logging

from normext import answers
from normext.notebooks import NEEDS_TORCH, chapters, source_of
from normext.vendor import Unavailable

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
TOOLS = [ROOT / "tools" / name for name in ("pyodide_dist.py", "bytecode.py", "bytecode.mjs")]
EDITOR = Path(__file__).with_name("editor")
NEEDS_TORCH_TOO = re.compile(r"^\s*(?:import|from) (?:torch|normcore\.(?:autograd|twins|gradcheck))\b|^\s*%", re.M)
PICTURES = re.compile(r"matplotlib|normbook\.(?!data|report)|\bphoto\(|\bpatches\(")
COMPRESSED = {".mjs", ".js", ".wasm", ".json", ".py"}  # by any web server


def serve(app, config):
    """Put what the pages need among the static files; without it there are no buttons."""
    app.normcore_runner = None
    cache = Path(app.srcdir) / ".cache"
    try:
        python, book, editor = python_folder(cache), book_folder(cache), editor_folder(cache)
    except Unavailable as reason:
        log.info("runner: %s, so the cells of the pages cannot be edited and run", reason)
        return
    config.html_static_path += [str(folder) for folder in (python, book, editor)]
    app.normcore_runner = sizes(python, book)
    config.pages_key += digest([Path(python, "python", "pyodide-lock.json"), Path(book, "python", "book.zip")])


# ---- files


def made_once(folder, fill):
    """The folder as `fill(part)` filled it, made once; a build that is broken off leaves nothing behind."""
    if not folder.exists():
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        fill(part)
        part.rename(folder)
        for old in folder.parent.glob(folder.name.rpartition("-")[0] + "-*"):
            if old != folder:
                shutil.rmtree(old)
    return folder


def digest(files):
    text = b"\0".join(str(file).encode() + file.read_bytes() for file in sorted(files))
    return hashlib.sha256(text).hexdigest()[:10]


def python_folder(cache):
    folder = cache / "runner" / f"python-{digest(TOOLS)}"
    return made_once(folder, lambda part: tool("--page", part / "python", "--cache", cache / "pyodide"))


def book_folder(cache):
    python = python_folder(cache) / "python"
    sources = [
        f for name in ("normcore", "normbook") for f in (ROOT / name).rglob("*.*") if "__pycache__" not in f.parts
    ]
    folder = cache / "runner" / f"book-{digest([*TOOLS, *sources])}"
    return made_once(folder, lambda part: tool("--book", part / "python", "--cache", python))


def editor_folder(cache):
    def fill(part):
        npm = shutil.which("npm")
        if not npm:
            raise Unavailable("npm is not installed")
        work = cache / "runner" / "editor.work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(EDITOR, work)
        command(npm, "ci", "--silent", "--no-audit", "--no-fund", cwd=work, failure=Unavailable)
        esbuild = [npm, "exec", "--offline", "--", "esbuild", "editor.js", "--bundle", "--minify", "--format=esm"]
        out = part / "vendor" / "editor.js"
        command(*esbuild, "--log-level=error", "--legal-comments=none", f"--outfile={out}", cwd=work)
        shutil.rmtree(work)

    files = [EDITOR / name for name in ("editor.js", "package.json", "package-lock.json")]
    return made_once(cache / "runner" / f"editor-{digest(files)}", fill)


def tool(*arguments):
    """Run tools/pyodide_dist.py; what it cannot get is no error, what is wrong in what it got is one."""
    done = subprocess.run([sys.executable, TOOLS[0], *map(str, arguments)], capture_output=True, text=True, cwd=ROOT)
    reason = (done.stderr.strip() or "no reason given").splitlines()
    if done.returncode == 3:
        raise Unavailable(reason[0])
    if done.returncode:
        raise ExtensionError("\n".join(reason[-20:]))


def command(*words, cwd, failure=ExtensionError):
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, cwd=cwd)
    if done.returncode:
        raise failure(
            f"{Path(words[0]).name} {words[1]} failed ({(done.stderr.strip() or 'no reason given').splitlines()[-1]})"
        )


def sizes(*folders):
    """{file below python/: (bytes, bytes as a web server sends them)}, and the data that come when they are opened."""
    found, data = {}, []
    for file in sorted(f for folder in folders for f in (folder / "python").rglob("*") if f.is_file()):
        name = file.as_posix().partition("/python/")[2]
        if name.startswith("data/"):
            data.append(name.removeprefix("data/"))
        else:
            found[name] = weighed(str(file), file.stat().st_mtime)
    return {"files": found, "data": data}


@functools.cache
def weighed(file, changed):
    content = Path(file).read_bytes()
    return len(content), len(gzip.compress(content, 6)) if Path(file).suffix in COMPRESSED else len(content)


# ---- pages


def mark(app, doctree, docname):
    """Number the cells of a page, in a class: which one of its notebook each is."""
    if not app.normcore_runner or docname not in chapters(app):
        return
    cells = notebook_cells(app, docname)
    numbers = {cell["at"]: number for number, cell in enumerate(cells)}
    for node in doctree.findall(nodes.container):
        if node.get("nb_element") == "cell_code" and node["cell_index"] in numbers:
            cell = cells[numbers[node["cell_index"]]]
            source = next(iter(node.findall(nodes.literal_block)), None)  # None where the page hides it
            if source is not None and source.astext().strip() != cell["source"].strip():
                raise ExtensionError(f"{docname}: cell {node['cell_index']} of the notebook is not the page's")
            torch = "-torch" if cell["skip"] else ""
            node["classes"].append(f"nc-cell-{numbers[node['cell_index']]}{torch}")


def notebook_cells(app, docname):
    """The code cells of a chapter in this edition, those without a place in the page among them."""
    text = source_of(app, docname)
    reader = create_nb_reader(Path(app.env.doc2path(docname)), app.env.myst_config, app.env.mystnb_config, text)
    cells, shown = [], 0
    for at, cell in enumerate(reader.read(text).cells):
        if cell.cell_type != "code":
            continue
        tags = set(cell.metadata.get("tags", []))
        hidden = bool(tags & {"remove-cell", "remove-input"})
        shown += not hidden
        skip = NEEDS_TORCH in tags or bool(NEEDS_TORCH_TOO.search(cell.source))
        name = f"{'hidden cell after ' if hidden else ''}cell {shown}"
        cells.append({"at": at, "source": cell.source, "skip": skip, "name": name, "hidden": hidden})
    for number, cell in enumerate(cells):
        parts = cells[:number], cells[number + 1 :]
        above, below = ([one["source"] for one in part if not one["skip"]] for part in parts)
        cell["alone"] = cell["hidden"] and not cell["skip"] and stands_alone(cell["source"], above, below)
    return cells


def stands_alone(source, above, below):
    """Would the cells below do the same without this one?

    They must not read a name that it makes, unless they make it first, nor one from above, imports left out, that it
    reads as well: it may have changed that, as it changes a generator of random numbers.
    """
    own, above, below = (
        [statement for cell in cells for statement in ast.parse(cell).body] for cells in ([source], above, below)
    )
    imports = (ast.Import, ast.ImportFrom)
    shared = union(made, (one for one in above if not isinstance(one, imports))) & union(read, own)
    left = union(made, own)
    for statement in below:
        if read(statement) & (left | shared):
            return False
        if isinstance(statement, (*imports, ast.Assign, ast.FunctionDef, ast.ClassDef)):
            left -= made(statement)
    return True


def union(names, statements):
    return set().union(*map(names, statements))


def made(statement):
    """The names that a statement may make."""
    nodes = [one for part in getattr(statement, "targets", [statement]) for one in ast.walk(part)]
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    imported = {(one.asname or one.name).partition(".")[0] for one in nodes if isinstance(one, ast.alias)}
    return stored | imported | {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def read(statement):
    """The names that a statement may read."""
    nodes = [*ast.walk(statement)]
    loaded = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    return loaded | {node.target.id for node in nodes if isinstance(getattr(node, "target", None), ast.Name)}


def add_script(app, pagename, templatename, context, doctree):
    """The page's script, and the list of cells that it fetches at the first click."""
    if doctree is None or not app.normcore_runner or pagename not in chapters(app):
        return
    cells = [{key: cell[key] for key in ("source", "skip", "name", "alone")} for cell in notebook_cells(app, pagename)]
    known = page(app.normcore_runner, cells) | {"answers": answers.boxes(app, pagename, cells)}
    if all(cell["skip"] for cell in cells):
        return
    name = f"{pagename.rpartition('/')[2]}.json"
    folder = Path(app.outdir) / "_static" / "cells"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(known, ensure_ascii=False), "utf8")
    address = context["pathto"](f"_static/cells/{name}", 1)
    app.add_js_file("runner.js", loading_method="defer", **{"data-cells": address})
    app.add_js_file("compute.js", loading_method="defer")


def page(runner, cells):
    """What the script of a page wants to know."""
    files = runner["files"]
    pictures = any(PICTURES.search(cell["source"]) for cell in cells)
    core = {name for name in files if not name.endswith(".whl") and name not in ("pyodide.js", "package.json")}
    wheels = {name for name in files if name.endswith(".whl") and (pictures or name.startswith("numpy-"))}
    raw, wire = (sum(files[name][way] for name in core | wheels) for way in (0, 1))
    packages = ["numpy", "matplotlib"] if pictures else ["numpy"]
    return {"packages": packages, "data": runner["data"], "raw": raw, "wire": wire, "cells": cells}

"""Execute a chapter anew when its cells change, or the code that *it* imports, and not otherwise.

Jupyter-cache remembers a chapter's outputs by its cells and its kernelspec.  So the kernelspec of a chapter gets one
more entry, a digest of the modules of ``normcore`` and ``normbook`` that its cells import, of those that these import,
of the data files that stand beside them, and of the pins.  A comment in a picture's code executes one chapter.
"""

import ast
import functools
import gc
import hashlib
import os
import re
from pathlib import Path

import jupytext

PACKAGES = ("normcore", "normbook")
ENTRY = "code"  # in the kernelspec
STATEMENT = re.compile(r"(?:\bfrom\s+([\w.]+)\s+)?\bimport\b\s*(?:\(([^)]*)\)|([^\n#;]*))")
VERSION, FIRST = re.compile(rb'^__version__ = ".*"$', re.MULTILINE), b'__version__ = "1.0.0"'  # a release runs nothing
FRONT = re.compile(r"\A---\n.*?^kernelspec:\n", re.DOTALL | re.MULTILINE)


def parsed(code):
    """The program's tree.  Python 3.11 raises SystemError where the garbage collector's callbacks run meanwhile."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(code)
    finally:
        if collects:
            gc.enable()


def imported(code, package=""):
    """Dotted names that a program imports, relative ones in its package."""
    try:
        tree = parsed(code)
    except SyntaxError:  # a cell with a magic: all that looks like an import, for one too many does no harm
        for base, bracketed, line in STATEMENT.findall(code.replace("\\\n", " ")):
            yield from filter(None, [base])
            yield from (f"{base}.{name}" if base else name for name in re.findall(r"[\w.]+", bracketed or line))
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (base, *(f"{base}.{alias.name}" for alias in node.names))


@functools.cache
def neighbors(path, root, written):
    """(data files beside a module, files of the modules that it imports); ``written`` only tells versions apart."""
    code = path.read_text("utf8")
    parts = path.relative_to(root).with_suffix("").parts
    package = ".".join(parts[:-1])
    data = [f for f in path.parent.iterdir() if f.suffix not in (".py", "") and f.is_file() and f.name in code]
    return sorted(data), sorted(modules(imported(code, package), root))


def modules(names, root):
    """Files of the modules with these dotted names, and of the packages that contain them, as far as they are ours."""
    places = {root.joinpath(*parts[:end]) for parts in map(ours, names) for end in range(1, len(parts) + 1)}
    return {file for place in places for file in (place / "__init__.py", place.with_suffix(".py")) if file.is_file()}


def ours(name):
    parts = tuple(name.split("."))
    return parts if parts[0] in PACKAGES else ()


def closure(text, root):
    """All files that the code cells of a chapter depend on, sorted."""
    cells = (cell.source for cell in jupytext.reads(text, fmt="md:myst").cells if cell.cell_type == "code")
    waiting = {file for code in cells for file in modules(imported(code), root)}
    files = set()
    while waiting:
        file = waiting.pop()
        data, further = neighbors(file, root, file.stat().st_mtime_ns)
        files |= {file, *data}
        waiting |= set(further) - files
    return sorted(files)


def key(text, root):
    """Digest of the code that a chapter runs, and of the pins; "" for a page that runs none."""
    if not FRONT.match(text):
        return ""
    files = [*(f for f in (root / "requirements.txt",) if f.exists()), *closure(text, root)]
    parts = (b"%s\0%s\0" % (str(f.relative_to(root)).encode(), VERSION.sub(FIRST, f.read_bytes())) for f in files)
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


def mark(app, docname, source):
    """Put the digest into the kernelspec of the text that is read; the file stays as it is."""
    digest = key(source[0], Path(app.srcdir))
    app.env.normcore_keys = {**getattr(app.env, "normcore_keys", {}), docname: digest}
    if digest:
        source[0] = FRONT.sub(lambda found: f"{found[0]}  {ENTRY}: {digest}\n", source[0], count=1)


def changed(app, env, added, changed, removed):
    """Chapters whose code is another one than when they were read last."""
    root, keys = Path(app.srcdir), getattr(env, "normcore_keys", {})
    return [
        doc
        for doc in env.found_docs - added - removed
        if doc in keys and key(Path(env.doc2path(doc)).read_text("utf8"), root) != keys[doc]
    ]


def set_paths(app, config):
    """Where outputs are remembered; and what makes Sphinx write every page anew: the looks of pages."""
    os.environ["NORMCORE_BOOK"] = "1"  # the kernels inherit it: `explore` writes a page's HTML, and no bar is drawn
    root = Path(app.srcdir)
    config.nb_execution_cache_path = str(root / "_build" / ".jupyter_cache")
    folders = ("normext", "_static", "_theme", "_theme/static", "_theme/components")
    looks = sorted(f for folder in folders for f in (root / "book" / folder).glob("*.*"))
    config.pages_key = hashlib.sha256(b"\0".join(f.read_bytes() for f in looks)).hexdigest()[:12]

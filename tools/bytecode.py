"""Archives of Python modules with bytecode in them, so that a browser need not compile them at every start.

Neither Pyodide's `python_stdlib.zip` nor its wheels hold bytecode.  `bytecode.mjs` runs this file within the same
Pyodide whose archives are converted: bytecode is made for one version of Python.  The `.pyc` are of the kind "unchecked
hash" (PEP 552): they are believed as they are, without a look at a source.
"""

import importlib._bootstrap_external as bootstrap
import importlib.util
import re
import sys
import zipfile

NEEDLESS = re.compile(r"(^|/)tests?/|\.(pxd|pyx|h|hpp|c|cpp|a|lib)$")  # at run time nobody asks for these
STAMP = (2026, 1, 1, 0, 0, 0)  # the same archive gives the same bytes


def imported():
    """Source files of all modules that this Python has imported."""
    specs = [getattr(module, "__spec__", None) for module in list(sys.modules.values())]
    return sorted({spec.origin for spec in specs if spec and spec.origin and spec.origin.endswith(".py")})


def convert(source, target, place, *, only=None, keep_sources=None, drop=None):
    """Write `target`, a copy of the archive `source` with bytecode; returns how many modules have it.

    `place` is the folder that the archive will lie in.  `only` names the sources to compile, paths below `place` as
    `imported` has them (all if None): the rest stay as they are, half as large.  A source that has bytecode goes,
    unless `keep_sources` matches its path; then the bytecode lies beside it in `__pycache__`.  `drop` matches paths in
    the archive that are left out beside NEEDLESS.
    """
    count = 0
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for path in sorted(old.namelist()):
            if path.endswith("/") or NEEDLESS.search(path) or (drop and re.search(drop, path)):
                continue
            files = {path: old.read(path)}
            full = f"{place}/{path}"
            if path.endswith(".py") and (only is None or full in only) and (code := bytecode(files[path], full)):
                kept = keep_sources and re.search(keep_sources, path)
                files = files | {in_pycache(path): code} if kept else {path + "c": code}
                count += 1
            for name, data in files.items():
                new.writestr(zipfile.ZipInfo(name, STAMP), data, zipfile.ZIP_DEFLATED, compresslevel=9)
    return count


def in_pycache(path):
    return importlib.util.cache_from_source(path, optimization="")


def bytecode(data, path):
    """The `.pyc` of a source; None for one that is no program of this Python (templates, samples of old syntax)."""
    try:
        code = compile(data, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    return bytes(bootstrap._code_to_hash_pyc(code, importlib.util.source_hash(data), False))

"""Key the cache of executed chapters by the code that they run.

Jupyter-cache remembers a chapter's outputs by its cells alone, so a change in ``normcore`` would be hidden by stale
outputs.  The key of the package's source and of the pins becomes part of the cache's path; ``nb_execution_cache_path``
is a setting that Sphinx rebuilds every page for when it changes.
"""

import hashlib
import os
from pathlib import Path


def key(root, files):
    """First 12 digits of the SHA-256 over the files."""
    parts = [b"%s\0%s\0" % (str(f.relative_to(root)).encode(), f.read_bytes()) for f in files]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:12]


def set_cache(app, config):
    os.environ["NORMCORE_BOOK"] = "1"  # the kernels inherit both
    os.environ["TQDM_DISABLE"] = "1"  # no progress bars in the pages
    root = Path(app.srcdir)
    modules = sorted(file for name in ("normcore", "normbook") for file in (root / name).rglob("*.py"))
    code = [root / "requirements.txt", *modules]
    config.nb_execution_cache_path = str(root / "_build" / ".jupyter_cache" / key(root, code))
    looks = [f for folder in ("normext", "_static") for f in sorted((root / "book" / folder).glob("*.*"))]
    config.pages_key = key(root, looks)  # Sphinx writes every page anew when it changes


def setup(app):
    app.add_config_value("pages_key", "", "html", str)
    app.connect("config-inited", set_cache)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

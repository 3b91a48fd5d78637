"""Execute chapters two at a time, before Sphinx reads them one by one and finds their outputs in the cache.

A chapter that measures time says ``runs: alone`` at its top and waits for its turn.  What goes wrong here is left to
that turn, too: then the error stands beside its page.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml
from jupyter_cache import get_cache
from myst_nb.core.execute import create_client
from myst_nb.core.read import create_nb_reader
from sphinx.util.logging import getLogger

TOGETHER = min(2, os.cpu_count() or 1)  # a kernel takes up to 1 GB


class Quiet:
    """A logger that says when a chapter is done and nothing else."""

    def __init__(self, docname):
        self.docname = docname

    def info(self, message, **_):
        if message.startswith("Executed"):
            getLogger(__name__).info("%s: %s, beside another", self.docname, message)

    def warning(self, message, **_):
        """The same comes again when the page is read."""

    debug = warning


def front_matter(text):
    """The settings at the top of a page."""
    return yaml.safe_load(text.split("\n---\n", 1)[0].removeprefix("---\n")) if text.startswith("---\n") else {}


def together(texts):
    """Those pages among {name: text} that are executed and may be so beside another."""
    tops = {name: front_matter(text) for name, text in texts.items()}
    return [name for name, top in tops.items() if "kernelspec" in top and top.get("runs") != "alone"]


@contextmanager
def one_thread_each():
    """Kernels that start now compute in one thread: two that each take all processors mostly wait."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if before is not None:
            os.environ["OMP_NUM_THREADS"] = before


def execute(app, env, docnames):
    """Fill the cache with the outputs of these pages, as far as they may run beside each other."""
    paths = {name: env.doc2path(name) for name in docnames}
    texts = {name: Path(path).read_text("utf8") for name, path in paths.items()}

    def run(name):
        with suppress(Exception):
            reader, notebook = read[name]
            create_client(notebook, paths[name], env.mystnb_config, Quiet(name), reader.read_fmt).start_client()

    if env.mystnb_config.execution_mode != "cache":
        return
    get_cache(env.mystnb_config.execution_cache_path).list_cache_records()  # makes its tables before two want to
    read = {}
    # the longest first, lest it begins last; reading not beside each other: Python parses one program at a time
    for name in sorted(together(texts), key=lambda name: -len(texts[name])):
        source = [texts[name]]
        app.emit("source-read", name, source)
        reader = create_nb_reader(paths[name], env.myst_config, env.mystnb_config, source[0])
        with suppress(Exception):  # the same comes again when the page is read
            read[name] = reader, reader.read(source[0])
    with one_thread_each(), ThreadPoolExecutor(TOGETHER) as pool:
        list(pool.map(run, read))

"""How soon Python in a page answers: its files as published, and as bytecode, side by side in one run.

``make live-speed``: for a cell of a page with NumPy alone, for the first cell of a chapter (imports and a figure), and
for the first cell of the same chapter as a live notebook.  Cold: nothing of this site is in the browser's cache; warm:
a second visit.  In Chromium and in Firefox.  Printed: CPU-seconds of the whole browser, from the click to the answer,
seconds on the clock, MB as a web server sends them.  Each number is the median of the rounds; the builds take turns.
"""

import argparse
import contextlib
import gzip
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "book"), str(ROOT / "tests" / "site")]
from normext.runner import COMPRESSED  # noqa: E402

from tests.site import conftest as pages  # noqa: E402
from tests.site.firefox import Firefox, find_firefox  # noqa: E402

CHAPTER = "scaling"
PLAIN = """import numpy as np
from normcore import batch_norm
print(batch_norm(np.random.default_rng(0).normal(size=(8, 3)))[0].std())"""
STAY = 3  # seconds that a reader looks at an answer; a browser may put compiled code away meanwhile


def published(cache):
    """{part of an address: folder with the files as their publishers made them}"""
    folders = {"_static/python/": cache / "page", "lite/static/pyodide/": cache / "lite"}
    tool = [ROOT / "tools" / "pyodide_dist.py"]
    kept = ["--cache", ROOT / ".cache" / "pyodide", "--sources"]
    wheel = sorted((ROOT / "dist").glob("normcore-*.whl"))
    needs = ["--needs", "matplotlib", "--needs", "ipywidgets", "--needs", "tqdm"]
    run = lambda python, *words: subprocess.run([*map(str, [python, *tool, *words])], check=True, cwd=ROOT)  # noqa: E731
    run(sys.executable, cache / "page", "--page", *kept)
    run(sys.executable, cache / "book", "--book", "--sources")
    for file in [f for f in (cache / "book").rglob("*") if f.is_file()]:
        target = cache / "page" / file.relative_to(cache / "book")
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
    if wheel and (pages.SITE / "lite").exists():
        run(ROOT / ".venv-lite/bin/python", cache / "lite", "--wheel", wheel[-1], *needs, *kept)
    else:
        del folders["lite/static/pyodide/"]
    return folders


def handler(instead, plain, sent):
    """Serves the site, some folders of it from elsewhere; counts the bytes that a compressing server would send."""

    class Counting(pages.Handler):
        def translate_path(self, path):
            for part, folder in instead.items():
                if part in path:
                    return str(folder / path.partition("?")[0].partition(part)[2])
            return super().translate_path(path)

        def end_headers(self):
            self.send_header("Cache-Control", "max-age=3600")
            super().end_headers()

        def do_GET(self):
            file = Path(self.translate_path(self.path.partition("?")[0]))
            if plain and file.name == f"{CHAPTER}.json" and "cells" in self.path:
                page = json.loads(file.read_text("utf8"))
                first = next(at for at, cell in enumerate(page["cells"]) if cell["name"] == "cell 1")
                cells = [cell | {"skip": at < first} for at, cell in enumerate(page["cells"])]
                cells[first] |= {"source": PLAIN}
                data = json.dumps(page | {"packages": ["numpy"], "cells": cells}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                return
            if file.is_file():
                data = file.read_bytes()
                sent.append(len(gzip.compress(data)) if file.suffix in COMPRESSED else len(data))
            super().do_GET()

    return Counting


def in_page(window, url):
    window.goto(f"{url}book/{CHAPTER}.html")
    time.sleep(0.5)
    yield
    said = window.evaluate(
        """async () => {
          UNTIL
          const place = document.querySelector('.nc-tools');
          const press = text => [...place.querySelectorAll('button')].find(b => b.textContent === text).click();
          const status = place.querySelector('.nc-status');
          press('Edit and run');
          await until(() => place.parentElement.querySelector('.nc-editor').firstChild?.editor, 'an editor');
          press('Run');
          await until(() => /^(Done|Error)/.test(status.textContent), 'an answer');
          return status.textContent;
        }""".replace("UNTIL", pages.UNTIL)
    )
    assert said.startswith("Done"), said


def in_notebook(window, url):
    window.goto("about:blank")
    yield
    window.goto(f"{url}lite/notebooks/index.html?path={CHAPTER}.ipynb")
    said = window.evaluate(
        """async () => {
          UNTIL
          const notebook = () => window.jupyterapp?.shell.currentWidget;
          const cells = () => [...notebook().content.widgets].filter(cell => cell.model.type === 'code');
          await until(() => notebook()?.sessionContext?.session?.kernel?.status === 'idle', 'a kernel');
          notebook().content.activeCellIndex = notebook().content.widgets.indexOf(cells()[0]);
          jupyterapp.commands.execute('notebook:run-cell');
          await until(() => cells()[0].model.outputs.length, 'an output');
          return cells()[0].model.outputs.get(0).type;
        }""".replace("UNTIL", pages.UNTIL)
    )
    assert said in ("display_data", "execute_result"), said


def cpu(processes, root):
    """CPU-seconds of a process and everything that it started, those that ended meanwhile included."""
    for one in [root, *root.children(recursive=True)]:
        try:
            times = one.cpu_times()
            processes[one.pid, one.create_time()] = times.user + times.system
        except psutil.NoSuchProcess:
            pass
    return sum(processes.values())


@contextlib.contextmanager
def chromium():
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        launch = playwright.chromium.launch_persistent_context
        context = launch(profile, executable_path=pages.find_chromium(), args=pages.FLAGS)
        yield pages.Chromium(context.new_page())
        context.close()


@contextlib.contextmanager
def firefox():
    window = Firefox(find_firefox())
    yield window
    window.close()


def measure(browser, visit, plain, instead):
    """[(CPU-seconds, seconds, MB) cold, warm]"""
    sent, results, own = [], [], {child.pid for child in psutil.Process().children()}
    for url in pages.served(handler(instead, plain, sent)):
        with browser() as window:
            (root,) = (child for child in psutil.Process().children() if child.pid not in own)
            for _ in ("cold", "warm"):
                seen, steps = {}, visit(window, url)
                next(steps)
                sent.clear()
                began, used = time.perf_counter(), cpu(seen, root)
                next(steps, None)
                results.append((cpu(seen, root) - used, time.perf_counter() - began, sum(sent) / 1e6))
                time.sleep(STAY)
                window.goto("about:blank")
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="lines with this in their name: firefox, figure, notebook, …")
    parser.add_argument("--alone", action="store_true", help="the site as it is, with nothing beside it")
    options = parser.parse_args()
    visits = {"page, NumPy alone": (in_page, True), "page, with a figure": (in_page, False)}
    if (pages.SITE / "lite").exists():
        visits["live notebook"] = (in_notebook, False)
    with tempfile.TemporaryDirectory() as cache:
        builds = {} if options.alone else {"as published": published(Path(cache))}
        builds["as bytecode"] = {}
        print(f"{'':31}{'':20}{'CPU s':>8}{'clock s':>9}{'MB':>7}")
        for visit, browser in itertools.product(visits, (chromium, firefox)):
            name = f"{visit}, {browser.__name__}"
            if options.only in name:
                turn = lambda: [measure(browser, *visits[visit], one) for one in builds.values()]  # noqa: B023, E731
                report(name, builds, [turn() for _ in range(options.rounds)])


def report(name, builds, turns):
    for at, when in enumerate(("cold", "warm")):
        for build, label in enumerate(builds):
            middle = [statistics.median(one[build][at][k] for one in turns) for k in range(3)]
            numbers = f"{middle[0]:8.2f}{middle[1]:9.2f}{middle[2]:7.1f}"
            print(f"{name:31}{when + ', ' + label:20}{numbers}", flush=True)


if __name__ == "__main__":
    main()

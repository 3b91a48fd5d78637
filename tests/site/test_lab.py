"""JupyterLab as `make lab` and `make edit` start it: a double click opens a notebook, and its dials are alive."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("SITE", ROOT / "_build" / "html")).resolve()

pytestmark = pytest.mark.skipif(not os.environ.get("LIVE_TEST"), reason="takes minutes: `make live-test` runs these")

KERNEL_IDLE = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
CODE_CELLS = "[...jupyterapp.shell.currentWidget.content.widgets].filter(c => c.model.type === 'code')"


@pytest.fixture
def lab(tmp_path):
    """lab(folder, *options) -> address of a JupyterLab that serves the folder."""
    started = []

    def start(folder, *options):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
            "--IdentityProvider.token=", "--LabApp.expose_app_in_browser=True", *options, str(folder),
        ]  # fmt: skip
        environment = os.environ | {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
        log = (tmp_path / "log").open("w")
        started.append((subprocess.Popen(command, env=environment, stdout=log, stderr=log), log))
        address = f"http://127.0.0.1:{port}/"
        for _ in range(360):
            try:
                with urllib.request.urlopen(address + "api/status", timeout=1):
                    return address
            except OSError:
                time.sleep(0.5)
        pytest.fail((tmp_path / "log").read_text())

    yield start
    for server, log in started:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        log.close()


def double_click(visit, address, name):
    page = visit().page
    page.goto(address + "lab")
    page.locator(f".jp-DirListing-item[title^='Name: {name}']").dblclick(timeout=60_000)
    page.locator(".jp-NotebookPanel .jp-CodeCell").first.wait_for(timeout=60_000)
    return page


def test_the_reader_s_copies(visit, lab, tmp_path):
    """Every dial of the first chapter moves its picture, with a kernel behind it."""
    folder = tmp_path / "lab"
    shutil.copytree(SITE.parent / "notebooks" / "lab", folder)
    page = double_click(visit, lab(folder), "scaling.ipynb")
    page.wait_for_function(KERNEL_IDLE, timeout=60_000)
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(f"() => {CODE_CELLS}.every(c => c.model.executionCount)", timeout=180_000)
    outputs = page.evaluate(f"() => {CODE_CELLS}.flatMap(c => c.model.outputs.toJSON())")
    assert not [one for one in outputs if one["output_type"] == "error"]
    explorer = page.locator(".nc-explore").first
    explorer.scroll_into_view_if_needed()
    numbers = explorer.locator("figcaption:visible")
    before = numbers.inner_text()
    explorer.locator(".noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    moved = "([n, old]) => !n.checkVisibility() || n.innerText !== old"
    page.wait_for_function(moved, arg=[numbers.element_handle(), before])


def test_the_sources_open_as_notebooks_and_are_saved_as_text(visit, lab, tmp_path):
    folder = tmp_path / "book"
    folder.mkdir()
    source = shutil.copy(ROOT / "book" / "scaling.md", folder)
    text = Path(source).read_text("utf8")
    plain = Path(shutil.copy(ROOT / "book" / "notation.md", folder))
    address = lab(folder, f"--config={ROOT / 'tools' / 'edit' / 'jupyter_lab_config.py'}")
    page = double_click(visit, address, "scaling.md")
    page.wait_for_function(KERNEL_IDLE, timeout=60_000)  # it writes its own name into the notebook
    first = page.evaluate(
        """async () => {
          const {context, content} = jupyterapp.shell.currentWidget;
          await context.ready;
          const cell = content.model.cells.get(0).sharedModel;
          const first = cell.source;
          cell.setSource('# Changed');
          await context.save();
          await jupyterapp.commands.execute('docmanager:open', {path: 'notation.md'});
          const plain = jupyterapp.shell.currentWidget.context;
          await plain.ready;
          await plain.save();
          return first;
        }"""
    )
    saved = Path(source).read_text("utf8")
    assert first in text and saved == text.replace(first, "# Changed", 1)
    assert plain.read_text("utf8") == (ROOT / "book" / "notation.md").read_text("utf8")
    assert not list(folder.glob("*.ipynb"))

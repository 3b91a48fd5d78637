"""The site opened from a folder, as `make zip` packs it: nothing is missing, and the console stays empty."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("zip", ROOT / "tools" / "zip.py")
zipped = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(zipped)

PAGES = ("index.html", "book/scaling.html", "book/playground.html", "search.html")
FACES = """async () => {  // `ready` may come before the first face is asked for: wait for a face, not for quiet
  const ours = () => [...document.fonts].filter(face => /Normcore (Text|Sans)"?$/.test(face.family));
  const end = Date.now() + 10000;
  while (!ours().some(face => face.status === "loaded") && Date.now() < end)
    await new Promise(resolve => setTimeout(resolve, 50));
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;  // a page that is left while a face is on its way says so in the next page's console
  return ours().filter(face => face.status === "loaded").length;
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The pages as the archive has them, and everything else of the site."""
    site = Path(os.environ.get("SITE", ROOT / "_build" / "html")).resolve()
    copy = tmp_path_factory.mktemp("zip") / "html"
    shutil.copytree(site, copy, ignore=shutil.ignore_patterns("lite", "slides"), copy_function=os.symlink)
    for name in (*PAGES, "_static/site.css"):
        (copy / name).unlink()
        (copy / name).write_text(zipped.for_folder((site / name).read_text("utf8")), "utf8")
    return copy


@pytest.mark.parametrize("name", PAGES)
def test_the_console_is_empty_and_the_typeface_is_there(window, folder, name):
    window.goto((folder / name).as_uri())
    assert window.evaluate(FACES)
    assert not window.console


def test_a_face_that_is_loaded_ahead_is_found(chromium, site):
    """The planted fault: the page as a server gives it."""
    window = chromium()
    window.goto((site / "index.html").as_uri())
    window.page.wait_for_timeout(200)
    assert any("font" in line for line in window.console)

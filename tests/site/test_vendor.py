"""Where the site's scripts come from, and what happens where they cannot be had."""

import logging
import shutil
from types import SimpleNamespace

import pytest
from normext import formulas, runner, vendor
from sphinx.errors import ExtensionError


def test_without_npm_the_pages_keep_their_cdn_and_one_line_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    said = []
    monkeypatch.setattr(vendor.log, "info", lambda text, *args: said.append(text % args))
    config = SimpleNamespace(html_static_path=[])
    with caplog.at_level(logging.WARNING):
        vendor.serve(SimpleNamespace(srcdir=tmp_path), config)
    assert not config.html_static_path
    assert len(said) == 1 and "npm is not installed" in said[0] and "CDN" in said[0]
    assert not caplog.records


def test_without_npm_no_cell_has_a_button_and_one_line_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(runner, "tool", lambda *_: None)  # Pyodide may be in a cache: then it is the editor that fails
    said = []
    monkeypatch.setattr(runner.log, "info", lambda text, *args: said.append(text % args))
    app, config = SimpleNamespace(srcdir=tmp_path), SimpleNamespace(html_static_path=[], pages_key="")
    with caplog.at_level(logging.WARNING):
        runner.serve(app, config)
    assert app.normcore_runner is None and not config.html_static_path
    assert len(said) == 1 and "npm is not installed" in said[0] and "cannot be edited and run" in said[0]
    assert not caplog.records
    runner.mark(app, None, "book/scaling")  # and the pages stay as they are
    runner.add_script(app, "book/scaling", "page.html", {}, object())


def test_a_wrong_file_of_pyodide_stops_the_build_and_a_missing_one_does_not(tmp_path, monkeypatch):
    recipe = tmp_path / "recipe.py"
    monkeypatch.setattr(runner, "TOOLS", [recipe])
    recipe.write_text("import sys; sys.exit('numpy has SHA-256 0, the official release 1')")
    with pytest.raises(ExtensionError, match="SHA-256"):
        runner.tool("--page", tmp_path)
    recipe.write_text("import sys; print('install Node.js with npm', file=sys.stderr); sys.exit(3)")
    with pytest.raises(vendor.Unavailable, match=r"install Node\.js"):
        runner.tool("--page", tmp_path)


def test_without_node_the_pages_typeset_their_own_formulas(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    config = SimpleNamespace(html_math_renderer=None, html_static_path=[])
    app = SimpleNamespace(srcdir=tmp_path)
    formulas.start(app, config)
    formulas.stop(app, None)
    assert config.html_math_renderer == "mathjax"  # said outright: of the two registered, Sphinx would take ours
    assert not config.html_static_path and not hasattr(app, "normcore_typesetter")


def test_an_archive_with_other_bytes_stops_the_build(tmp_path):
    version, sha512, _ = vendor.PACKAGES["mathjax"]
    path = tmp_path / f"mathjax-{version}.tgz"
    path.write_bytes(b"not what it should be")
    with pytest.raises(ExtensionError, match="SHA-512"):
        vendor.archive("mathjax", version, sha512, tmp_path)
    assert not path.exists()

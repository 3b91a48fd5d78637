"""Chapters are executed two at a time before they are read; one that says so has the machine for itself."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from normext import ahead

ROOT = Path(__file__).parents[2]

TOP = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
{more}---

# A chapter

```{{code-cell}} ipython3
{code}
```
"""
# says that it has begun, and waits until somebody else has, too
MEET = """import pathlib, time
pathlib.Path("{own}.begun").touch()
with open("{own}.runs", "a") as runs:
    runs.write("1")
end = time.monotonic() + 60
while time.monotonic() < end and not pathlib.Path("{other}.begun").exists():
    time.sleep(0.05)
print("met" if pathlib.Path("{other}.begun").exists() else "alone")"""
LAST = """import pathlib
with open("last.runs", "a") as runs:
    runs.write("1")
print("after", len(list(pathlib.Path().glob("*.begun"))), "others")"""


def build(book, again=True):
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", str(book), str(book / "_build")],
        capture_output=True,
        text=True,
    )
    if again and "Address already in use" in done.stderr:  # another program took the port that a kernel was to have
        for file in [*book.glob("*.begun"), *book.glob("*.runs")]:
            file.unlink()
        shutil.rmtree(book / "_build")
        return build(book, again=False)
    return done


@pytest.fixture
def book(tmp_path):
    """Two chapters that wait for each other, and a first one that wants to be alone."""
    (tmp_path / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT / 'book')!r})\nextensions = ['myst_nb']\n"
        "nb_execution_mode = 'cache'\nhtml_theme = 'basic'\n"
        "exclude_patterns = ['_build', 'jupyter_execute', '.jupyter_cache']\n"
        "def setup(app):\n    from normext import ahead\n    app.connect('env-before-read-docs', ahead.execute)\n"
    )
    (tmp_path / "index.md").write_text("# Book\n\n```{toctree}\nalone\none\ntwo\n```\n")
    (tmp_path / "alone.md").write_text(TOP.format(code=LAST, more="runs: alone\n"))
    (tmp_path / "one.md").write_text(TOP.format(code=MEET.format(own="one", other="two"), more=""))
    (tmp_path / "two.md").write_text(TOP.format(code=MEET.format(own="two", other="one"), more=""))
    return tmp_path


@pytest.mark.slow
def test_two_at_a_time_each_once_and_the_third_after_them(book):
    done = build(book)
    assert done.returncode == 0, done.stderr
    pages = {name: (book / "_build" / f"{name}.html").read_text("utf8") for name in ("one", "two", "alone")}
    assert "met\n" in pages["one"] and "met\n" in pages["two"]
    assert "after 2 others\n" in pages["alone"]
    assert {path.name: path.read_text() for path in book.glob("*.runs")} == {
        "one.runs": "1", "two.runs": "1", "last.runs": "1",
    }  # fmt: skip
    (book / "one.md").write_text((book / "one.md").read_text() + "\nMore words.\n")
    assert build(book).returncode == 0
    assert (book / "one.runs").read_text() == "1"  # its cells are as they were


@pytest.mark.slow
def test_a_chapter_that_fails_stops_the_build_beside_its_own_name(book):
    (book / "one.md").write_text(TOP.format(code="1 / 0", more=""))
    (book / "two.md").write_text(TOP.format(code="print('whole')", more=""))
    done = build(book)
    assert done.returncode == 1
    assert "one.md: WARNING: Executing notebook failed: CellExecutionError" in done.stderr
    assert done.stderr.count("Executing notebook failed") == 1
    assert "division by zero" in (book / "_build/reports/one.err.log").read_text("utf8")
    assert "whole" in (book / "_build/two.html").read_text("utf8")


def test_who_may_run_beside_another():
    texts = {
        "prose": "# No cells\n",
        "one": TOP.format(code="1", more=""),
        "alone": TOP.format(code="1", more="runs: alone\n"),
        "settings": "---\ntitle: no kernel\n---\n# Text\n\n---\nkernelspec: no\n",
    }
    assert ahead.together(texts) == ["one"]


def test_the_environment_is_put_back(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with pytest.raises(KeyError), ahead.one_thread_each():
        assert ahead.os.environ["OMP_NUM_THREADS"] == "1"
        raise KeyError
    assert ahead.os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.delenv("OMP_NUM_THREADS")
    with ahead.one_thread_each():
        pass
    assert "OMP_NUM_THREADS" not in ahead.os.environ

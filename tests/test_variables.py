"""CONTRIBUTING names every environment variable that the code reads, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("normcore", "normbook", "book", "grading", "tools", "tests", "benchmarks", "lite")
READ = re.compile(r"""(?:os\.environ(?:\.get\(|\.pop\(|\[)|getenv\(|process\.env\.)["']?([A-Z][A-Z_]+)""")
# the system's own, which we read or hand on
SYSTEM = {"PATH", "PYTHONPATH", "HOME", "TMPDIR", "MAKEFLAGS", "PYTEST_XDIST_WORKER"}


def read_by(text):
    return set(READ.findall(text)) - SYSTEM


def test_the_table_is_complete():
    files = [f for folder in FOLDERS for kind in ("*.py", "*.js") for f in (ROOT / folder).rglob(kind)]
    files = [f for f in files if not {"node_modules", Path(__file__).name} & set(f.parts)]
    read = {name for f in files for name in read_by(f.read_text("utf8"))}
    rows = re.findall(r"^\| (`[A-Z_`, ]+) \|", (ROOT / "CONTRIBUTING.md").read_text("utf8"), re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert {"missing": read - told, "no longer read": told - read} == {"missing": set(), "no longer read": set()}


def test_every_way_of_reading_is_seen():
    text = """os.environ["ONE_A"], os.environ.get('TWO_B'), os.getenv("THREE_C"), process.env.FOUR_D, os.environ["PATH"]
    """
    assert read_by(text) == {"ONE_A", "TWO_B", "THREE_C", "FOUR_D"}

"""Who may import whom: mathematics knows no pictures, pictures know no widgets, widgets know no norm."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {
    "normcore": ("normbook", "normext", "grading", "matplotlib", "ipywidgets", "sklearn", "tqdm"),
    "normbook": ("normext", "grading", "sphinx", "nbgrader"),
    "normbook/figures": ("ipywidgets", "normbook.explore"),
    "normbook/explore.py": ("normcore",),
}


def imported(path):
    """Names of the modules that a file imports, relative imports left out: they stay in the package."""
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))


def trespasses(path, forbidden):
    return sorted(name for name in imported(path) for no in forbidden if name == no or name.startswith(f"{no}."))


@pytest.mark.parametrize("place", FORBIDDEN)
def test_no_module_imports_what_stands_above_it(place):
    files = [ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py"))
    assert files
    assert {str(f.relative_to(ROOT)): found for f in files if (found := trespasses(f, FORBIDDEN[place]))} == {}


def test_a_trespass_is_seen(tmp_path):
    (tmp_path / "wrong.py").write_text("def later():\n    from normbook import style\n")
    assert trespasses(tmp_path / "wrong.py", FORBIDDEN["normcore"]) == ["normbook", "normbook.style"]

"""Build the package's wheel with the book's data in it: ``python tools/wheel.py dist``.

In a browser there is no scikit-learn, and with it no digits, wines and photos; this wheel carries their files as they
are (0.4 MB).  They stay out of the repository: `normbook/_data` is made here, from the scikit-learn of this
environment.  What the repository itself carries (the small Fashion-MNIST and its terms) is in every wheel and sdist.
"""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = [
    "data/digits.csv.gz", "descr/digits.rst", "data/wine_data.csv", "descr/wine_data.rst",
    "images/china.jpg", "images/flower.jpg", "images/README.txt",
]  # fmt: skip


def main(out):
    datasets = Path(find_spec("sklearn").submodule_search_locations[0]) / "datasets"
    for name in FILES:  # three of them say where the data come from and under which terms
        target = ROOT / "normbook" / "_data" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(datasets / name, target)
    for old in out.glob("normcore-*.whl"):
        old.unlink()
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", out, ROOT], check=True)
    print(next(out.glob("normcore-*.whl")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

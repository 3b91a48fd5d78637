"""Run the downloads top to bottom where only Colab's packages are: ``python tools/colab_test.py WHEEL NOTEBOOK ...``.

Runs in an environment of its own (`make colab-test`) with numpy, matplotlib, torch and ipywidgets.  The notebooks'
first cell must find the package's wheel beside them and install it.  Exits 1 when a cell raises.
"""

import importlib.util
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def main(wheel, *notebooks):
    for name in ("normcore", "sklearn", "myst_nb"):
        if importlib.util.find_spec(name):
            print(f"note: {name} is installed here already", file=sys.stderr)
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(wheel, folder)
        for path in map(Path, notebooks):
            began = time.monotonic()
            notebook = nbformat.read(path, as_version=4)
            try:
                NotebookClient(notebook, timeout=900, kernel_name="python3", cwd=folder).execute()
                said = "ran to its end"
            except CellExecutionError as error:
                failed.append(path.name)
                said = f"FAILED\n{error}"
            print(f"{path.name}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A reader's own folder of notebooks: ``python tools/lab.py [FOLDER]``, default ``lab``.

Copies the chapters that the last build of the book wrote to ``_build/notebooks/lab``.  A notebook that the reader has
changed is never written to: when its chapter has changed as well, the new edition goes beside it, as
``<chapter>.new.ipynb``.  Running a notebook is no change; its source is what counts.
"""

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MADE = ROOT / "_build" / "notebooks" / "lab"
KEPT = ".editions.json"  # {file: digest of the source it was given}


def main(folder, made=MADE):
    notebooks = sorted(made.glob("*.ipynb"))
    if not notebooks:
        sys.exit(f"no notebooks in {made}: build the book first (make book)")
    folder.mkdir(parents=True, exist_ok=True)
    memory = folder / KEPT
    given = json.loads(memory.read_text("utf8")) if memory.exists() else {}
    for new in notebooks:
        text = new.read_text("utf8")
        edition = digest(text)
        own, beside = folder / new.name, folder / f"{new.stem}.new.ipynb"
        if given.get(new.name) == edition and own.exists():
            continue  # nothing new since the last time
        if not own.exists() or unchanged(own, given.get(new.name)):
            own.write_text(text, "utf8")
            beside.unlink(missing_ok=True)
        elif digest(own.read_text("utf8")) != edition:
            beside.write_text(text, "utf8")
            print(f"You have changed {own.name}, and the book has too: its new edition is {beside.name}")
        given[new.name] = edition
    memory.write_text(json.dumps(given, indent=1) + "\n", "utf8")
    print(f"{len(notebooks)} notebooks in {folder}")


def unchanged(path, edition):
    """True if the reader has not touched the source of this notebook since it was given."""
    return digest(path.read_text("utf8")) == edition


def digest(text):
    """Of what a person writes in a notebook: kinds and sources of its cells, not outputs or counters."""
    try:
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    except (ValueError, KeyError, TypeError):
        cells = text  # no notebook any more: certainly changed
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "lab")

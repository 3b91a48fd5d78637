"""Settings of `make edit`: Markdown opens as a notebook, and saving changes only what its author changed."""

import re
from pathlib import Path

c = get_config()  # noqa: F821 - given by Jupyter

HEADER = re.compile(r"\A---\n.*?^---\n+", re.DOTALL | re.MULTILINE)


def keep_header(model, path, contents_manager, **_):
    """Put the header that the file had in front of what is saved; a page without one stays without.

    Jupyter would add version numbers and this machine's name of the kernel, and so make chapters of plain pages.
    """
    file = Path(contents_manager.root_dir, path)
    if file.suffix != ".md" or model["type"] != "file" or not file.exists():
        return
    before = HEADER.match(file.read_text("utf8"))
    model["content"] = (before[0] if before else "") + HEADER.sub("", model["content"])


c.LabApp.app_settings_dir = str(Path(__file__).parent)
c.FileContentsManager.pre_save_hook = keep_header

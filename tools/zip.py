"""The whole site as one file that opens without a server.

    python tools/zip.py [SITE] [SITE.zip]

A page that is opened from a folder loads its typeface, but may not load it ahead: browsers take such a request for one
to another host, refuse it and complain. So the pages in the file do not ask; and their text changes to the typeface
when it is there, which on the network it must not (fonts.css): asked for so late, it would often stay away.
"""

import re
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
AHEAD = re.compile(r'<link rel="preload"[^>]*\bas="font"[^>]*>\s*')


def for_folder(text):
    """A page or a style sheet."""
    return AHEAD.sub("", text).replace("font-display: optional", "font-display: swap")


def main():
    site = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "_build" / "html")
    out = Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "dist" / "normcore-site.zip")
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(site.rglob("*")):
            name = Path("html") / path.relative_to(site)
            if path.suffix in (".html", ".css"):
                archive.writestr(name.as_posix(), for_folder(path.read_text("utf8")))
            elif path.is_file():
                archive.write(path, name)
    print(f"{out} ({out.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()

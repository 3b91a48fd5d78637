"""Make the book's typeface: subsets of Source Sans 3 and Source Code Pro, under a name of their own.

    python tools/fonts.py

The files are committed, so that a build needs neither npm nor a compressor: `normbook/normcore-sans.ttf`, by which
Matplotlib lays out the figures, and `book/_static/fonts/*.woff2`, in which the pages show them.  Both come from the
same outlines, so what is measured is what is shown.  The license (SIL OFL 1.1) reserves the name "Source" for the
unchanged fonts; hence "Normcore Sans" and "Normcore Mono".
"""

import hashlib
import io
import sys
import tarfile
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book"))
from normext.vendor import archive  # noqa: E402

# npm package: version, SHA-512 of its archive; both are Adobe's own
SANS = (
    "source-sans",
    "3.52.0",
    "xsm7qlMI/JwxwNdp6pvpR6l+aZjn90fzOzoeUz/qoohIYbKbDwQNRIz5/ItYs7/hvqLirQNUoDFGXSVA3TU9tw==",
)
MONO = (
    "source-code-pro",
    "2.42.0",
    "18isp9l4xtOL3r61TwL9m1hjYX9qb1+i7iK0pSHEeWADKuQCOdQkBzhFiv8pBfOP7u9lNTBN75yYif2HUdyiyg==",
)
FIGURES = "normbook/normcore-sans.ttf"
PAGES = "book/_static/fonts/{}.woff2"
# file for the pages: package, its file, family, style
FACES = {
    "sans": (SANS, "TTF/SourceSans3-Regular.ttf", "Normcore Sans", "Regular"),
    "sans-italic": (SANS, "TTF/SourceSans3-It.ttf", "Normcore Sans", "Italic"),
    "sans-semibold": (SANS, "TTF/SourceSans3-Semibold.ttf", "Normcore Sans", "Semibold"),
    "mono": (MONO, "TTF/SourceCodePro-Regular.ttf", "Normcore Mono", "Regular"),
}
RANGES = [  # what prose, code and figures are written with
    (0x20, 0x7E), (0xA0, 0xFF),  # Latin
    (0x302, 0x304), (0x391, 0x3A9), (0x3B1, 0x3C9),  # hats, tildes and bars; Greek
    (0x2009, 0x200A), (0x2010, 0x2015), (0x2018, 0x201E), (0x2020, 0x2022), (0x2026, 0x2026), (0x202F, 0x2033),
    (0x2070, 0x208E), (0x1D40, 0x1D40), (0x1D62, 0x1D62), (0x2096, 0x2099),  # raised and lowered
    (0x2190, 0x2199), (0x21D2, 0x21D2), (0x2202, 0x22C5), (0x2713, 0x2717), (0x25B6, 0x25BE),  # arrows, signs, marks
]  # fmt: skip
SHA256 = {  # of the files as they are committed
    "normbook/normcore-sans.ttf": "bc68bfda52d515bbdfc908b0ab81e247ab340f9f37153c1875a5ca454232c1df",
    "book/_static/fonts/sans.woff2": "40878d564b15435f54eee4cd226a1ad42535283c660c1cb47890b00771e557ea",
    "book/_static/fonts/sans-italic.woff2": "38b7174ba9d8816de150ea939b9acf964940269cb1c633afc408bd3e2f0d2298",
    "book/_static/fonts/sans-semibold.woff2": "83074822677f3135605542107e45329b82f9e052ec63bd2cc9409f799e54dd79",
    "book/_static/fonts/mono.woff2": "c933e504273c1166a08bf91de7cfedfdd887cdab11ca20126fd00da8618790d7",
}


def characters():
    return [code for first, last in RANGES for code in range(first, last + 1)]


def cut(source, family, style):
    """The font with the book's characters alone, and with its new name."""
    options = subset.Options(
        layout_features=["ccmp", "kern", "mark", "mkmk"], hinting=False, name_IDs=[*range(20)], notdef_outline=True
    )
    font = TTFont(source, recalcTimestamp=False)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=characters())
    cutter.subset(font)
    full, names = f"{family} {style}", font["name"]
    for number, name in {
        1: family if style in ("Regular", "Italic") else full,
        2: style if style in ("Regular", "Italic") else "Regular",
        3: f"{names.getDebugName(5)};{full}", 4: full, 6: full.replace(" ", ""), 16: family, 17: style,
    }.items():  # fmt: skip
        names.removeNames(nameID=number)
        names.setName(name, number, 3, 1, 0x409)
    return font


def made(face, flavor=None):
    """The bytes of a face, as TrueType or as WOFF2 (which needs brotli)."""
    (package, *pinned), file, family, style = FACES[face]
    with tarfile.open(archive(package, *pinned, ROOT / ".cache" / "npm")) as tar:
        font = cut(io.BytesIO(tar.extractfile(f"package/{file}").read()), family, style)
    font.flavor = flavor
    out = io.BytesIO()
    font.save(out)
    return out.getvalue()


def main():
    files = {FIGURES: made("sans")} | {PAGES.format(face): made(face, "woff2") for face in FACES}
    for name, content in files.items():
        (ROOT / name).write_bytes(content)
        print(f'    "{name}": "{hashlib.sha256(content).hexdigest()}"')
    (package, *pinned), *_ = FACES["sans"]
    with tarfile.open(archive(package, *pinned, ROOT / ".cache" / "npm")) as tar:
        terms = tar.extractfile("package/LICENSE.md").read()
    for name in (FIGURES.replace(".ttf", ".txt"), "book/_static/fonts/license.txt"):
        (ROOT / name).write_bytes(terms)


if __name__ == "__main__":
    main()

"""What a student wrote, made safe for whoever opens it: the instructor in the Formgrader, a table, a terminal."""

from __future__ import annotations

import re

JOINERS = "\u200c\u200d"  # Hindi, Persian and emoji are spelled with them
UNSAFE = "href|style|class|cssId|require|unicode|data|mmlToken|html|csname|bbox"  # TeX that reaches beyond the formula
# an address that acts when it is clicked, behind the brackets of a link or of a reference
ACTS = r"(\]\s*[(:][\s<\x00-\x20]*)(?:javascript|vbscript|data|file)\s*\\?:"


def text(source: str) -> str:
    """The text without half characters (lone surrogates), which cannot be written to any file."""
    return source.encode("utf-8", "replace").decode()


def line(source: str, most: int = 200) -> str:
    """One line for a table or a terminal: no control characters, cut to a length."""
    return "".join(c if c.isprintable() or c in JOINERS else "\N{REPLACEMENT CHARACTER}" for c in text(source[:most]))


def person(name: str) -> str:
    """A name of somebody or something, in any script, on one line."""
    return " ".join(line(name).split())


def markdown(source: str) -> str:
    """Markdown that holds no HTML: a space behind each "<" that could open a tag; no TeX, link or picture that acts.

    ``a < b`` and ``<img>`` read the same as before, but the second is no tag any more, in any renderer.
    """
    source = re.sub(r"<(?=[A-Za-z/!?])", "< ", text(source))
    source = re.sub(r"&(?=#|(?:colon|Tab|NewLine)\b)", "& ", source)  # a renderer reads them as letters of an address
    source = re.sub(rf"\\(?=(?:{UNSAFE})\b)", r"\\backslash ", source)
    source = re.sub(r"!\[(?![^\]\n]*\]\(attachment:)", "! [", source)  # a picture from elsewhere tells who opened it
    return re.sub(ACTS, r"\1about:blank#", source, flags=re.IGNORECASE)

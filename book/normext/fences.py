"""The one reader of MyST's fences, on the parser that the book itself is built with.

A fence is a block of code, or a directive: ```` ```{name} argument ````, with backticks, tildes or colons.  It may
stand in a list, in a block quote, or in a directive whose text is markup itself.
"""

from functools import cache
from typing import NamedTuple

from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

#: Directives whose text is no markup, as far as this book goes.
VERBATIM = (
    "code-cell", "code-block", "code", "sourcecode", "literalinclude", "math", "raw", "parsed-literal", "eval-rst",
    "answer", "mistakes",
)  # fmt: skip
EXTENSIONS = {"amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath", "smartquotes", "substitution"}


class Fence(NamedTuple):
    """A fence: lines ``start`` to ``end`` (not included) of the text that was read, counted from 0."""

    name: str  # of the directive; "" for plain code
    argument: str
    body: str
    marks: str
    start: int
    end: int
    closed: bool

    @property
    def options(self):
        """{option: value} of a directive."""
        return self._split()[0]

    @property
    def text(self):
        """The body without the options."""
        return "\n".join(self._split()[1])

    def _split(self):
        options, lines = {}, self.body.splitlines()
        for at, line in enumerate(lines):
            key, _, value = line.strip().removeprefix(":").partition(":")
            if not line.strip().startswith(":") or not key.replace("-", "").isalnum():
                return options, lines[at:]
            options[key] = value.strip()
        return options, []


@cache
def _parser():
    return create_md_parser(MdParserConfig(enable_extensions=EXTENSIONS), RendererHTML)


def fences(text):
    """The fences of a text, but not those within a fence, in order."""
    lines = text.splitlines()
    found = []
    for token in _parser().parse(text + "\n"):
        if token.type in ("fence", "colon_fence"):
            name, _, argument = token.info.strip().partition("}")
            directive = name.startswith("{")
            start, end = token.map
            last = lines[end - 1].strip().lstrip("> ") if end - 1 < len(lines) else ""
            closed = end - start > 1 and len(last) >= len(token.markup) and set(last) == {token.markup[0]}
            found.append(
                Fence(name[1:].strip() if directive else "", argument.strip() if directive else token.info.strip(),
                      token.content, token.markup, start, end, closed)
            )  # fmt: skip
    return found


def all_fences(text, first=0):
    """The fences of a text and of all directives in it whose text is markup, outer ones first, in order."""
    for fence in fences(text):
        yield fence._replace(start=fence.start + first, end=fence.end + first)
        if fence.name and fence.name not in VERBATIM:
            yield from all_fences(fence.body, first + fence.start + 1)

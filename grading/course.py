"""Where a course keeps its things, and nbgrader with the course's settings: read once, handed on."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.source import STUB

GRADING = Path(__file__).resolve().parent
SOURCES = GRADING / "sources"
PUBLISHED = GRADING.parent / "book" / "assignments"


@dataclass(frozen=True)
class Course:
    """The folders of a course: nbgrader's (gradebook, releases, copies), the results', and the sources'.

    ``database`` is the gradebook's address as SQLAlchemy writes it; without one it is a file in the root.
    """

    root: Path
    results: Path
    sources: Path
    address: str = ""

    @classmethod
    def from_environment(cls) -> Course:
        """As NORMCORE_GRADING (nbgrader's folder), SOURCES (a private set) and GRADEBOOK (its address) say."""
        elsewhere = os.environ.get("NORMCORE_GRADING")
        return cls(
            root=Path(elsewhere or GRADING / "_build").resolve(),
            results=Path(elsewhere).resolve() / "results" if elsewhere else GRADING / "results",
            sources=Path(os.environ.get("SOURCES") or SOURCES).resolve(),
            address=os.environ.get("GRADEBOOK", ""),
        )

    @property
    def database(self) -> str:
        """The gradebook's address: what GRADEBOOK says, or a file in the root."""
        return self.address or f"sqlite:///{self.root}/gradebook.db?timeout=120"

    def has_gradebook(self) -> bool:
        """False as long as there is nothing in it; a database that was named is there."""
        return bool(self.address) or (self.root / "gradebook.db").exists()

    @property
    def extensions(self) -> Path:
        """Who may hand in later: a file of the instructor's."""
        return self.root / "extensions.csv"

    @property
    def key(self) -> Path:
        """The key that students' own numbers are drawn from."""
        return self.root / "variants.key"

    @property
    def published(self) -> Path:
        """Where student notebooks go: those of a private set stay out of the book."""
        return PUBLISHED if self.sources == SOURCES else self.sources / "student"

    def all_sources(self) -> list[Path]:
        """Every assignment's source."""
        return sorted(self.sources.glob("*.md"))

    def source(self, name: str) -> Path:
        """The source of one assignment."""
        return self.sources / f"{name}.md"

    def nbgrader(self) -> Any:
        """nbgrader's interface, with the settings of nbgrader_config.py and this course's folder."""
        self.root.mkdir(parents=True, exist_ok=True)
        os.environ["NORMCORE_GRADING"], os.environ["GRADEBOOK"] = str(self.root), self.address  # for nbgrader_config.py
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nbgrader imports what newer libraries deprecate
            from nbgrader.apps.api import NbGraderAPI
            from traitlets.config.loader import PyFileConfigLoader

            config = PyFileConfigLoader("nbgrader_config.py", path=str(GRADING)).load_config()
            config.ClearSolutions.code_stub, config.ClearSolutions.text_stub = {"python": STUB}, "YOUR ANSWER HERE"
            return NbGraderAPI(config=config)

    def gradebook(self) -> Any:
        """nbgrader's gradebook, a context manager."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from nbgrader.api import Gradebook
        return Gradebook(self.database, "normcore")


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)

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
    """The folders of a course: nbgrader's (gradebook, releases, copies), the results', and the sources'."""

    root: Path
    results: Path
    sources: Path

    @classmethod
    def from_environment(cls) -> Course:
        """As NORMCORE_GRADING (nbgrader's folder) and SOURCES (a private set) say."""
        return cls(
            root=Path(os.environ.get("NORMCORE_GRADING") or GRADING / "_build").resolve(),
            results=GRADING / "results",
            sources=Path(os.environ.get("SOURCES") or SOURCES).resolve(),
        )

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
        os.environ["NORMCORE_GRADING"] = str(self.root)  # nbgrader_config.py reads it
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
        return Gradebook(f"sqlite:///{self.root}/gradebook.db?timeout=120", "normcore")


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)

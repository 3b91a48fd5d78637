"""The grading programs are scripts, not a package: tests import them from their folder."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2] / "grading"), str(Path(__file__).parent)]

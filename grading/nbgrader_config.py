"""nbgrader's settings, for `make assignments`, `make grade` and the formgrader alike."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # for alembic

c = get_config()  # type: ignore[name-defined]  # noqa: F821

root = Path(os.environ.get("NORMCORE_GRADING", HERE / "_build")).resolve()
root.mkdir(parents=True, exist_ok=True)
c.CourseDirectory.course_id = "normcore"
c.CourseDirectory.root = str(root)
c.CourseDirectory.db_url = os.environ.get("GRADEBOOK") or f"sqlite:///{root}/gradebook.db?timeout=120"


# the Formgrader's Autograde would run student code with your rights: it stops here instead
c.Autograde.autograde_preprocessors = ["student_code_runs_only_in_the_sandbox_of_make_grade.Stop"]

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
c.CourseDirectory.db_url = f"sqlite:///{root}/gradebook.db?timeout=120"


# what `nbgrader autograde` does with a submission; repair.py has already cleared and mended it
c.Autograde.sanitize_preprocessors = [
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Autograde.autograde_preprocessors = [
    "grading.execute.SandboxedExecute",
    "grading.execute.SaveFlags",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.GenerateFeedback.preprocessors = [
    "nbgrader.preprocessors.GetGrades",
    "grading.feedback.HideHiddenTests",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]

# limits; the ones on memory, processes and files are also enforced inside the sandbox (sandbox/kernel.py)
seconds = int(os.environ.get("CELL_SECONDS", 60))
c.SandboxedExecute.timeout = seconds
c.SandboxedExecute.total = int(os.environ.get("NOTEBOOK_SECONDS", 10 * seconds))
c.SandboxedExecute.iopub_timeout = 10
c.SandboxedExecute.shutdown_kernel = "immediate"
c.SandboxedExecute.memory = int(os.environ.get("LIMIT_MEMORY", 4_000_000_000))

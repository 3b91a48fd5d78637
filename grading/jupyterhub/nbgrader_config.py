"""nbgrader's settings in every account of the hub: the course, and where the exchange is."""

import os
from pathlib import Path

c = get_config()  # type: ignore[name-defined]  # noqa: F821

c.CourseDirectory.course_id = "normcore"
c.Exchange.root = os.environ["COURSE_EXCHANGE"]  # writable by all: mode 777, like nbgrader's documentation says
c.Exchange.path_includes_course = True  # a student's copies lie in normcore/ASSIGNMENT

# the instructor's account: the folder that `NORMCORE_GRADING=~/course make assignments` filled
if (Path.home() / "course" / "gradebook.db").exists():
    c.CourseDirectory.root = str(Path.home() / "course")

# the Formgrader's Autograde would run student code in the instructor's account: it stops here instead
c.Autograde.autograde_preprocessors = ["student_code_runs_only_in_the_sandbox_of_make_grade.Stop"]

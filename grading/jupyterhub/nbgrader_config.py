"""nbgrader's settings in every account of the hub: the exchange, and for instructors the course and its gradebook."""

import os

c = get_config()  # type: ignore[name-defined]  # noqa: F821

c.CourseDirectory.course_id = "normcore"
c.Exchange.root = os.environ["COURSE_EXCHANGE"]  # writable by all: mode 777, like nbgrader's documentation says
c.Exchange.path_includes_course = True  # a student's copies lie in normcore/ASSIGNMENT

# the instructors' servers alone have this variable, see jupyterhub_config.py
if course := os.environ.get("NORMCORE_GRADING"):
    os.umask(0o007)  # what one instructor writes another one can change, and nobody else can read
    c.CourseDirectory.root = course
    c.CourseDirectory.groupshared = True
    c.CourseDirectory.db_url = os.environ.get("GRADEBOOK") or f"sqlite:///{course}/gradebook.db?timeout=120"

# the Formgrader's Autograde would run student code in the instructor's account: it stops here instead
c.Autograde.autograde_preprocessors = ["student_code_runs_only_in_the_sandbox_of_make_grade.Stop"]

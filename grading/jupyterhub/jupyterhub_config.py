"""A JupyterHub for one course with nbgrader, on one machine with its own users; see book/instructors.md.

Before a class uses it, replace the authenticator by your university's and put it behind HTTPS. On Kubernetes the
same lines go into `hub.extraConfig` of Zero to JupyterHub, see the end of this file.
"""

import os
import sys
from pathlib import Path
from typing import Any

c = get_config()  # type: ignore[name-defined]  # noqa: F821

here = Path(__file__).resolve().parent if "__file__" in globals() else Path.cwd()
environment = Path(sys.prefix)
instructors = set(os.environ.get("COURSE_INSTRUCTORS", "instructor").split(","))
students = set(os.environ.get("COURSE_STUDENTS", "student").split(","))

c.JupyterHub.bind_url = os.environ.get("HUB_URL", "http://127.0.0.1:8000")
c.JupyterHub.authenticator_class = "dummy"  # one password for all: for trying out only
c.DummyAuthenticator.password = os.environ["HUB_PASSWORD"]
c.Authenticator.allowed_users = instructors | students
c.Authenticator.admin_users = set()
c.ConfigurableHTTPProxy.command = [str(environment / "node_modules" / ".bin" / "configurable-http-proxy")]

# every account is a user of the machine; servers run with that user's rights, so file permissions protect the course
c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
c.Spawner.default_url = "/lab"
c.Spawner.cmd = [str(environment / "bin" / "jupyterhub-singleuser")]
c.Spawner.env_keep = ["LANG", "LC_ALL", "TZ"]  # nothing of the hub's own
c.Spawner.environment = {
    "PATH": f"{environment}/bin:/usr/local/bin:/usr/bin:/bin",
    "JUPYTER_CONFIG_PATH": str(here),  # nbgrader_config.py for everyone
    "COURSE_EXCHANGE": os.environ.get("COURSE_EXCHANGE", "/srv/nbgrader/exchange"),
}


def for_instructors(spawner: Any) -> None:
    """Only the instructors' servers hear where the course and its gradebook are."""
    if spawner.user.name in instructors:
        course = os.environ.get("NORMCORE_GRADING", "/srv/nbgrader/course")
        gradebook = os.environ.get("GRADEBOOK", "")
        spawner.environment = spawner.environment | {"NORMCORE_GRADING": course, "GRADEBOOK": gradebook}
        spawner.notebook_dir = course  # the Formgrader wants the course below the server's folder


c.Spawner.pre_spawn_hook = for_instructors

# nbgrader asks the hub which course a user belongs to; groups named formgrade-COURSE and nbgrader-COURSE say so
c.JupyterHub.load_groups = {
    "formgrade-normcore": {"users": sorted(instructors)},
    "nbgrader-normcore": {"users": sorted(students)},
}

# Zero to JupyterHub, config.yaml:
#
#   hub:
#     config:
#       JupyterHub: {authenticator_class: ...}
#   singleuser:
#     image: {name: your-image-with-requirements.txt, tag: "1"}
#     storage:
#       extraVolumes: [{name: exchange, persistentVolumeClaim: {claimName: nbgrader-exchange}}]   # ReadWriteMany
#       extraVolumeMounts: [{name: exchange, mountPath: /srv/nbgrader/exchange}]
#
# There all students have the same user id unless you set one for each, and then the exchange's permissions protect
# nothing: set `singleuser.uid` per user in a pre_spawn_hook, or use nbgrader's exchange service.

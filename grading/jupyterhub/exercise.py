"""One round trip through the hub, by its own web interfaces: release, fetch, submit, collect, grade.

    HUB_PASSWORD=... python grading/jupyterhub/exercise.py HUB_URL INSTRUCTOR STUDENT ASSIGNMENT SOLVED.ipynb

Needs a running hub (jupyterhub_config.py) and the two accounts as users of the machine; the instructor's has
~/course, made by NORMCORE_GRADING=~/course make assignments. Grading itself runs where the sandbox is.
"""

from __future__ import annotations

import http.cookiejar
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

COURSE = "normcore"


class Account:
    """One user of the hub, with the cookies of a browser."""

    def __init__(self, hub: str, name: str) -> None:
        self.hub, self.name = hub.rstrip("/"), name
        self.jar = http.cookiejar.CookieJar()
        self.open = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar)).open

    def xsrf(self, path: str) -> str:
        """The token against forged requests that belongs to a path."""
        tokens = [c.value for c in self.jar if c.name == "_xsrf" and path.startswith(c.path)]
        return str(tokens[-1]) if tokens else ""

    def login(self) -> None:
        """Log in and wait for the account's server."""
        self.open(f"{self.hub}/hub/login")
        form = {"username": self.name, "password": os.environ["HUB_PASSWORD"], "_xsrf": self.xsrf("/hub/")}
        self.open(f"{self.hub}/hub/login", urllib.parse.urlencode(form).encode())
        for _ in range(120):
            reply = self.open(f"{self.hub}/hub/spawn")
            if f"/user/{self.name}/" in reply.url and "spawn-pending" not in reply.url:
                return
            time.sleep(1)
        raise TimeoutError(f"no server for {self.name}")

    def ask(self, path: str, data: object = None, method: str = "POST") -> Any:
        """Call the account's own server, with JSON to send or without; return its JSON."""
        full = f"/user/{self.name}/{path}"
        body = None if data is None else json.dumps(data).encode()
        headers = {"X-XSRFToken": self.xsrf(full), "Content-Type": "application/json"}
        request = urllib.request.Request(self.hub + full, body, headers, method=method if body else "GET")
        try:
            reply = self.open(request)
        except urllib.error.HTTPError as error:
            return {"status": error.code, "text": error.read().decode(errors="replace")[:500]}
        return json.loads(reply.read() or "null")


def step(text: str, reply: Any, done: bool) -> None:
    """Say what happened; stop if it is not what should happen."""
    print(f"{'ok  ' if done else 'FAIL'} {text}", flush=True)
    if not done:
        sys.exit(json.dumps(reply, indent=1)[:3000])


def status(listing: Any, name: str) -> list[str]:
    """What nbgrader's assignment list says of an assignment."""
    entries = listing.get("value", []) if isinstance(listing, dict) and listing.get("success") else []
    return [entry["status"] for entry in entries if entry["assignment_id"] == name]


def main(hub: str, instructor_name: str, student_name: str, name: str, solved: str) -> None:
    """Run the round trip."""
    instructor, student = Account(hub, instructor_name), Account(hub, student_name)
    for account in (instructor, student):
        account.login()
        step(f"{account.name}: logged in, own server runs", None, True)
    reply = student.ask(f"formgrader/api/assignment/{name}")
    step("student: no formgrader data", reply, "status" in reply and reply.get("max_score", 0) == 0)
    reply = instructor.ask(f"formgrader/api/assignment/{name}/release", {})
    step("instructor: released", reply, bool(reply.get("success")))
    listing = student.ask(f"assignments?course_id={COURSE}")
    step("student: sees the assignment", listing, "released" in status(listing, name))
    choice = {"course_id": COURSE, "assignment_id": name}
    listing = student.ask("assignments/fetch", choice)
    step("student: fetched", listing, "fetched" in status(listing, name))
    path = f"api/contents/{COURSE}/{name}/{name}.ipynb"
    notebook = {"type": "notebook", "format": "json", "content": json.loads(Path(solved).read_text())}
    reply = student.ask(path, notebook, "PUT")
    step("student: saved the answers", reply, reply.get("path", "").endswith(f"{name}.ipynb"))
    listing = student.ask("assignments/submit", choice)
    step("student: submitted", listing, "submitted" in status(listing, name))
    reply = instructor.ask(f"formgrader/api/assignment/{name}/collect", {})
    step("instructor: collected", reply, bool(reply.get("success")))
    reply = instructor.ask(f"formgrader/api/submissions/{name}")
    step("instructor: the formgrader lists the submission", reply, any(s["student"] == student_name for s in reply))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Rounds through a running hub, by its own web interfaces, as browsers of instructors and students would ask.

    HUB_PASSWORD=... python grading/jupyterhub/exercise.py HUB collect INSTRUCTOR ASSIGNMENT SOLVED.ipynb STUDENT...
    HUB_PASSWORD=... python grading/jupyterhub/exercise.py HUB read GRADER STUDENT ASSIGNMENT QUESTION POINTS COMMENT
    HUB_PASSWORD=... python grading/jupyterhub/exercise.py HUB back INSTRUCTOR STUDENT ASSIGNMENT

Between them an instructor runs `make grade` and `make feedback-out TO=hub`, where the sandbox is. locally.py does all
of it on one machine.
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

    def login(self) -> Account:
        """Log in and wait for the account's server."""
        self.open(f"{self.hub}/hub/login")
        form = {"username": self.name, "password": os.environ["HUB_PASSWORD"], "_xsrf": self.xsrf("/hub/")}
        self.open(f"{self.hub}/hub/login", urllib.parse.urlencode(form).encode())
        for _ in range(120):
            reply = self.open(f"{self.hub}/hub/spawn")
            if f"/user/{self.name}/" in reply.url and "spawn-pending" not in reply.url:
                step(f"{self.name}: logged in, own server runs", None, True)
                return self
            time.sleep(1)
        raise TimeoutError(f"no server for {self.name}")

    def ask(self, path: str, data: object = None, method: str = "POST") -> Any:
        """Call the account's own server, with JSON to send or without; return its JSON."""
        full = urllib.parse.quote(f"/user/{self.name}/{path}", safe="/?=&")
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


def collect(hub: str, instructor_name: str, name: str, solved: str, *students: str) -> None:
    """Release; each student fetches, saves and submits; collect."""
    instructor = Account(hub, instructor_name).login()
    reply = instructor.ask(f"formgrader/api/assignment/{name}/release", {})
    step("instructor: released", reply, bool(reply.get("success")))
    for student in students:
        submit(Account(hub, student).login(), name, solved)
    reply = instructor.ask(f"formgrader/api/assignment/{name}/collect", {})
    step("instructor: collected", reply, bool(reply.get("success")))
    reply = instructor.ask(f"formgrader/api/submissions/{name}")
    listed = {entry["student"] for entry in reply}
    step("instructor: the formgrader lists the submissions", reply, set(students) <= listed)


def submit(student: Account, name: str, solved: str) -> None:
    """Fetch, save the answers, submit."""
    who = student.name
    reply = student.ask(f"formgrader/api/assignment/{name}")
    step(f"{who}: no formgrader data", reply, "status" in reply and reply.get("max_score", 0) == 0)
    listing = student.ask(f"assignments?course_id={COURSE}")
    step(f"{who}: sees the assignment", listing, "released" in status(listing, name))
    choice = {"course_id": COURSE, "assignment_id": name}
    listing = student.ask("assignments/fetch", choice)
    step(f"{who}: fetched", listing, "fetched" in status(listing, name))
    path = f"api/contents/{COURSE}/{name}/{name}.ipynb"
    notebook = {"type": "notebook", "format": "json", "content": json.loads(Path(solved).read_text())}
    reply = student.ask(path, notebook, "PUT")
    step(f"{who}: saved the answers", reply, reply.get("path", "").endswith(f"{name}.ipynb"))
    listing = student.ask("assignments/submit", choice)
    step(f"{who}: submitted", listing, "submitted" in status(listing, name))


def read(hub: str, grader_name: str, student: str, name: str, question: str, points: str, comment: str) -> None:
    """Open what was graded, give points for a written answer (or none but a comment), and see them in the list."""
    grader = Account(hub, grader_name).login()
    entries = grader.ask(f"formgrader/api/submissions/{name}")
    mine = [entry for entry in entries if entry["student"] == student]
    step(f"{grader_name}: {student} is in the list as graded", entries, [e["autograded"] for e in mine] == [True])
    entries = grader.ask(f"formgrader/api/submitted_notebooks/{name}/{name}")
    own = next((entry["id"] for entry in entries if entry["student"] == student), "")
    step(f"{grader_name}: opened the notebook of {student}", entries, bool(own))
    for kind, value in (("grade", {"manual_score": float(points or 0)}), ("comment", {"manual_comment": comment})):
        if kind == "grade" and not points:
            continue
        listed = grader.ask(f"formgrader/api/{kind}s?submission_id={own}")
        cell = next(entry for entry in listed if entry["name"] == question)
        reply = grader.ask(f"formgrader/api/{kind}/{cell['id']}", {**cell, **value}, "PUT")
        step(f"{grader_name}: saved the {kind} for {question}", reply, all(reply.get(k) == v for k, v in value.items()))


def back(hub: str, instructor_name: str, student_name: str, name: str) -> str:
    """Release the feedback, fetch it as the student; return the page."""
    instructor, student = Account(hub, instructor_name).login(), Account(hub, student_name).login()
    reply = instructor.ask(f"formgrader/api/assignment/{name}/release_feedback", {})
    step("instructor: released the feedback", reply, bool(reply.get("success")))
    choice = {"course_id": COURSE, "assignment_id": name}
    listing = student.ask("assignments/fetch_feedback", choice)
    step(f"{student_name}: fetched the feedback", listing, bool(listing.get("success")))
    folder = student.ask(f"api/contents/{COURSE}/{name}/feedback")
    stamps = [entry["path"] for entry in folder.get("content", [])]
    step(f"{student_name}: the feedback lies beside the assignment", folder, len(stamps) > 0)
    page = student.ask(f"api/contents/{max(stamps)}/{name}.html")
    step(f"{student_name}: opened the page", page, "Total score" in str(page.get("content")))
    return str(page["content"])


if __name__ == "__main__":
    rounds: dict[str, Any] = {"collect": collect, "read": read, "back": back}
    rounds[sys.argv[2]](sys.argv[1], *sys.argv[3:])

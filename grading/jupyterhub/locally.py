"""A course on a hub of this machine, from nothing to the feedback: `make hub-exercise`, as root.

Accounts, PostgreSQL, the hub and its exchange live in a folder of /tmp and in a mount namespace that ends with this
program, so the machine's own accounts stay as they are. Two instructors share one gradebook in PostgreSQL; students see
nothing of the course. Prints a line for each step, and stops at the first one that is not as it should be.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from grading.jupyterhub import exercise  # noqa: E402
from grading.jupyterhub.exercise import step  # noqa: E402
from grading.source import read, student_version  # noqa: E402

NAME, QUESTION = "forward-pass", "one-image"
INSTRUCTORS, STUDENTS = ("nc-teacher", "nc-assistant"), ("nc-ada", "nc-emmy")
FIRST = 61_000  # ids of the accounts


def make_accounts(base: Path) -> None:
    """Accounts that are there in this mount namespace alone."""
    if os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{os.getppid()}/ns/mnt"):
        sys.exit("start this with make hub-exercise: it needs a mount namespace of its own")
    passwd, group, shadow = (Path(f"/etc/{name}").read_text() for name in ("passwd", "group", "shadow"))
    names = [*INSTRUCTORS, *STUDENTS, "nc-postgres"]
    for number, name in enumerate(names, FIRST):
        passwd += f"{name}:x:{number}:{number}::{base}/home/{name}:/bin/bash\n"
        group += f"{name}:x:{number}:\n"
        shadow += f"{name}:*:19000:0:99999:7:::\n"
    group += f"nc-graders:x:{FIRST + 100}:{','.join(INSTRUCTORS)}\n"
    for name, text in (("passwd", passwd), ("group", group), ("shadow", shadow)):
        mine = base / name
        mine.write_text(text)
        mine.chmod(0o600 if name == "shadow" else 0o644)
        subprocess.run(["mount", "--bind", str(mine), f"/etc/{name}"], check=True)
    for name in names:
        home = base / "home" / name
        home.mkdir(parents=True)
        shutil.chown(home, name, name)
        home.chmod(0o700)


def run_as(user: str, command: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command with a user's rights and groups, and nothing of root's environment."""
    who = pwd.getpwnam(user)
    groups = [g.gr_gid for g in grp.getgrall() if user in g.gr_mem]
    environment = {"HOME": who.pw_dir, "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin", "USER": user}
    environment |= more.pop("environment", {})
    return subprocess.run(
        command, user=who.pw_uid, group=who.pw_gid, extra_groups=groups, env=environment, text=True,
        capture_output=True, check=False, cwd=more.pop("cwd", who.pw_dir), umask=0o007, **more,
    )  # fmt: skip


def must(done: subprocess.CompletedProcess[str], text: str) -> str:
    """Say what was done; stop with what the command said if it failed."""
    step(text, [done.stdout[-2000:], done.stderr[-2000:]], done.returncode == 0)
    return done.stdout


def may_run(user: str) -> None:
    """Stop with a sentence if the accounts may not use this environment."""
    try:
        done = run_as(user, [sys.executable, "-c", "import nbgrader"])
        why = done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
    except PermissionError as error:
        why = str(error)
    if why:
        python = Path(sys.executable).resolve()
        sys.exit(
            f"accounts cannot run {sys.executable}, which is {python}: {why}. Use a Python and a clone that everybody "
            "can read, not below /root"
        )


def start_postgres(base: Path) -> str:
    """A PostgreSQL of an ordinary user, which knows the instructors by their accounts; return its address."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/bin"))
    data, sockets = base / "postgres", base / "sockets"
    for folder in (data, sockets):
        folder.mkdir()
        shutil.chown(folder, "nc-postgres", "nc-postgres")
    must(run_as("nc-postgres", [f"{programs}/initdb", "-D", str(data), "-A", "peer", "-E", "UTF8"]), "postgres: made")
    options = f"-c listen_addresses='' -c unix_socket_directories={sockets}"
    start = [f"{programs}/pg_ctl", "-D", str(data), "-w", "-l", str(data / "log"), "-o", options, "start"]
    version = must(run_as("nc-postgres", start), "postgres: started") and run_as(
        "nc-postgres", [f"{programs}/postgres", "-V"]
    )
    print(f"     {version.stdout.strip() if version else ''}", flush=True)
    orders = ["CREATE ROLE graders", "CREATE DATABASE normcore OWNER graders"]
    for name in INSTRUCTORS:  # whoever makes a table, it is the graders'
        orders += [
            f'CREATE ROLE "{name}" LOGIN IN ROLE graders',
            f'ALTER ROLE "{name}" IN DATABASE normcore SET ROLE graders',
        ]
    orders += ["REVOKE ALL ON DATABASE normcore FROM PUBLIC", "GRANT ALL ON DATABASE normcore TO graders"]
    for order in orders:
        done = run_as("nc-postgres", [f"{programs}/psql", "-h", str(sockets), "-d", "postgres", "-c", order])
        if done.returncode:
            step(order, done.stderr, False)
    step("postgres: a database of the graders", None, True)
    return f"postgresql+psycopg:///normcore?host={sockets}"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_hub(base: Path, course: Path, gradebook: str) -> tuple[subprocess.Popen[bytes], str]:
    """The hub of jupyterhub_config.py; return it and its address."""
    os.environ["HUB_PASSWORD"] = secrets.token_hex(16)
    folder, address = base / "hub", f"http://127.0.0.1:{free_port()}"
    folder.mkdir(mode=0o700)
    environment = {
        "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "HUB_URL": address,
        "HUB_PASSWORD": os.environ["HUB_PASSWORD"], "COURSE_INSTRUCTORS": ",".join(INSTRUCTORS),
        "COURSE_STUDENTS": ",".join(STUDENTS), "COURSE_EXCHANGE": str(base / "exchange"),
        "NORMCORE_GRADING": str(course), "GRADEBOOK": gradebook,
    }  # fmt: skip
    command = [
        f"{sys.prefix}/bin/jupyterhub", "--config", str(ROOT / "grading" / "jupyterhub" / "jupyterhub_config.py"),
        f"--JupyterHub.hub_port={free_port()}", f"--ConfigurableHTTPProxy.api_url=http://127.0.0.1:{free_port()}",
    ]  # fmt: skip
    log = (base / "hub.log").open("wb")
    hub = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{address}/hub/health")
            break
        except OSError:
            time.sleep(1)
        if hub.poll() is not None:
            break
    step("hub: started", (base / "hub.log").read_text()[-3000:], hub.poll() is None)
    return hub, address


def solved() -> Any:
    """The student's notebook with the reference answers."""
    source = read(ROOT / "grading" / "sources" / f"{NAME}.md")
    notebook = student_version(source)
    for cell, reference in zip(notebook.cells, source.cells, strict=True):
        if reference.metadata.get("normcore", {}).get("role") == "answer":
            lines = reference.source.splitlines()
            cell.source = "\n".join(line for line in lines if not line.strip().startswith("###"))
        cell.source = cell.source.replace("YOUR ANSWER HERE", "They agree, because N is 1.")
    return notebook


def forbidden(base: Path, course: Path, gradebook: str) -> None:
    """What a student's account must not be able to do."""
    ada = STUDENTS[0]
    for path in (course, course / "autograded", course / "variants.key"):
        done = run_as(ada, ["ls", str(path)])
        step(f"student: {path.name} is closed", done.stdout, done.returncode != 0)
    done = run_as(
        ada, [sys.executable, "-c", f"import psycopg; psycopg.connect({gradebook.replace('+psycopg', '')!r})"]
    )
    step(
        "student: the gradebook's database is closed",
        done.stdout,
        done.returncode != 0 and "does not exist" in done.stderr,
    )
    done = run_as(ada, ["ls", str(base / "home" / STUDENTS[1])])
    step("student: other homes are closed", done.stdout, done.returncode != 0)
    inbound = run_as(ada, ["ls", str(base / "exchange" / "normcore" / "inbound")])
    step("student: cannot list what others handed in", inbound.stdout, inbound.returncode != 0)


def main(base: Path) -> None:
    """Do it all."""
    base.chmod(0o755)
    make_accounts(base)
    teacher, assistant = INSTRUCTORS
    may_run(teacher)
    course, clone = base / "course", base / "normcore"
    (base / "exchange").mkdir()
    (base / "exchange").chmod(0o777)
    course.mkdir()
    shutil.chown(course, teacher, "nc-graders")
    course.chmod(0o2770)
    shutil.copytree(
        ROOT / "grading", clone / "grading", ignore=shutil.ignore_patterns("_build", "__pycache__", "results")
    )
    (clone / "book" / "assignments").mkdir(parents=True)
    for path in (clone, *clone.rglob("*")):
        shutil.chown(path, teacher, "nc-graders")
    gradebook = start_postgres(base)
    variables = {"NORMCORE_GRADING": str(course), "GRADEBOOK": gradebook}

    def grading(user: str, *words: str) -> str:
        done = run_as(user, [sys.executable, "-m", "grading", *words], cwd=clone, environment=variables)
        return must(done, f"{user}: {' '.join(words[:2])}")

    hub = None
    try:
        grading(teacher, "build")
        hub, address = start_hub(base, course, gradebook)
        path = base / "solved.ipynb"
        nbformat.write(solved(), path)
        exercise.collect(address, teacher, NAME, str(path), *STUDENTS)
        said = grading(teacher, "grade", NAME, "--from", str(course / "submitted"))
        step("both students have 17 points", said, all(f"{student}: 17 points" in said for student in STUDENTS))
        # two people read at the same time, each another student; one types points, the other ticks the rubric
        reading = [
            threading.Thread(target=exercise.read, args=(address, who, student, NAME, QUESTION, points, comment))
            for who, student, points, comment in (
                (teacher, STUDENTS[0], "2.5", "Say why."),
                (assistant, STUDENTS[1], "", "#1 #3 Good."),
            )
        ]
        for thread in reading:
            thread.start()
        for thread in reading:
            thread.join()
        grading(assistant, "grade", NAME, "--from", str(course / "submitted"))  # the other instructor goes on
        records = {s: json.loads((course / "records" / NAME / f"{s}.json").read_text()) for s in STUDENTS}
        points = {s: sum(mark["points"] for mark in record["marks"]) for s, record in records.items()}
        step(f"points: {points}", records, points == {STUDENTS[0]: 19.5, STUDENTS[1]: 19})
        grading(assistant, "feedback-out", NAME, "--to", "hub")
        for student, words in ((STUDENTS[0], "Say why."), (STUDENTS[1], "1 of 1: saying that the outputs are equal")):
            page = exercise.back(address, teacher, student, NAME)
            step(f"{student}: their own feedback, with what was written to them", page[-2000:], words in page)
        said = grading(teacher, "regrade", NAME, "--from", str(course / "submitted"))
        copies = list(course.glob("gradebook.before-regrade-*.sql"))
        step("regrade: a copy of the whole gradebook, made by pg_dump", said, len(copies) == 1)
        after = {s: json.loads((course / "records" / NAME / f"{s}.json").read_text()) for s in STUDENTS}
        again = {s: sum(mark["points"] for mark in record["marks"]) for s, record in after.items()}
        step("regrade: the points given by hand are there", again, again == points)
        forbidden(base, course, gradebook)
    finally:
        if hub:
            os.killpg(hub.pid, signal.SIGTERM)
            hub.wait(30)
        programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/usr/bin"))
        run_as("nc-postgres", [f"{programs}/pg_ctl", "-D", str(base / "postgres"), "-m", "fast", "stop"])
    print("All steps done.")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="nc-hub-", ignore_cleanup_errors=True) as folder:
        main(Path(folder))

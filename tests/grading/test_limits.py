"""Memory of all processes of a submission together: control groups where they can be had, or what is said instead."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grading.sandbox import launch
from grading.sandbox.launch import Sandbox, find_groups, make_group, remove_group

GROUPS = find_groups()
CHILDREN = """
import os, time
for _ in range(2):
    if not os.fork():
        held = bytearray(80_000_000)
        held[::4096] = b"x" * len(held[::4096])
        time.sleep(1.5)
        os._exit(0)
print(sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(2)))
"""


@pytest.mark.skipif(not GROUPS.startswith("/"), reason="no control group can be made here")
def test_a_control_group_limits_two_processes_together():
    """Each holds 80 MB, together they may have 130 MB: one of them is ended, and the group goes away."""
    group = make_group(Path(GROUPS), 130_000_000)
    try:
        enter = [
            "/bin/sh",
            "-c",
            f'echo $$ > "{group}/cgroup.procs" && exec "$@"',
            "sh",
            sys.executable,
            "-c",
            CHILDREN,
        ]
        done = subprocess.run(enter, capture_output=True, text=True, check=True)
    finally:
        remove_group(group)
    assert done.stdout == "[-9, 0]\n"
    assert not group.exists()


def test_a_folder_that_is_no_control_group_is_left_as_it_was(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"memory\.max"):
        make_group(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


SYSTEMD = """#!/bin/sh
echo "$XDG_RUNTIME_DIR" "$@" > {log}
while [ "$1" != bwrap ]; do shift; done
exec "$@"
"""


@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed: no sandbox to test")
def test_where_systemd_has_the_groups_it_starts_the_sandbox(tmp_path, monkeypatch):
    """A stand-in for systemd-run, which no container has: it sees the limits, and what it starts runs."""
    fake = tmp_path / "systemd-run"
    fake.write_text(SYSTEMD.format(log=tmp_path / "log"))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    with Sandbox("bwrap", "systemd").start("import os; os.write(2, b'started')", [], 123_000_000) as process:
        assert process.stderr.read() == b"started"
    words = (tmp_path / "log").read_text().split()
    assert words[:5] == ["/run/user/1000", "--user", "--scope", "--quiet", "--collect"]
    assert "MemoryMax=123000000" in words and "MemorySwapMax=0" in words


def test_what_is_not_limited_is_said():
    assert Sandbox("nobody", "/sys/fs/cgroup/x").unlimited() == Sandbox("bwrap", "systemd").unlimited() == ""
    assert "no control group can be had" in Sandbox("bwrap").unlimited()
    assert "with your rights" in Sandbox("none").unlimited()
    assert "has a network" in Sandbox("account").unlimited()


def test_without_any_place_for_groups_there_is_none(monkeypatch):
    monkeypatch.setattr(launch, "make_group", lambda parent, memory: (_ for _ in ()).throw(PermissionError(parent)))
    monkeypatch.setattr(launch.shutil, "which", lambda program: None)
    assert find_groups() == ""

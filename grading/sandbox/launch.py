"""The command that starts a student's process where it can do no harm.

With bubblewrap it sees the system's programs and this Python, read-only, and three small folders of its own: no
network, no home, no course, no other submission, no environment variables. A filter on system calls takes away what
goes around the limits: memory that belongs to no process, namespaces, other processes' memory. Its one tie to the
outside is the socket that it inherits. Where control groups can be had, memory is limited for all its processes
together.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import secrets
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_FILES = 128_000_000  # bytes in each of the folders that the process can write
NOBODY = 200_000  # the first of the user ids that root's sandboxes run under, one each
FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")

# system calls that are refused: (x86-64, arm64)
REFUSED = {
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "mq_open": (240, 180), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40),
    "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
}  # fmt: skip
MACHINES = {"x86_64": (0, 0xC000003E, 56), "aarch64": (1, 0xC00000B7, 220)}  # column, architecture, clone
NEW_USER = 0x10000000  # the flag of clone that makes a user namespace
SOCKET = (41, 198)
FAMILIES = (1, 2, 10)  # of sockets: local ones, and those of the network, which leads nowhere; no drivers, no machine


class NoSandboxError(Exception):
    """Student code cannot be run here without risk."""


def call_filter() -> bytes:
    """The filter as a BPF program: everything is allowed but REFUSED, new user namespaces and foreign calls."""
    if platform.machine() not in MACHINES:
        return b""
    column, architecture, clone = MACHINES[platform.machine()]

    def line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    load, equal, above, bits, stop = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse = line(stop, 0x7FFF0000), line(stop, 0x00050000 | errno.EPERM)
    program = [line(load, 4), line(equal, architecture, 1, 0), refuse, line(load, 0)]
    program += [line(above, 0x40000000, 0, 1), refuse]  # the x32 calls have other numbers
    for numbers in REFUSED.values():
        program += [line(equal, numbers[column], 0, 1), refuse]
    program += [line(equal, 435, 0, 1), line(stop, 0x00050000 | errno.ENOSYS)]  # clone3 hides its flags; clone follows
    program += [line(equal, SOCKET[column], 0, 3 + len(FAMILIES)), line(load, 16)]
    program += [line(equal, family, len(FAMILIES) - k, 0) for k, family in enumerate(FAMILIES)]
    program += [refuse, allow]
    program += [line(equal, clone, 0, 3), line(load, 16), line(bits, NEW_USER, 0, 1), refuse, allow]
    return b"".join(program)


def bubblewrap(command: list[str], mode: str, filter_from: int) -> list[str]:
    """Return the command line that runs command isolated; the system call filter is read from a descriptor."""
    line = ["bwrap", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    line += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    if mode == "nobody":  # a user namespace would know no user but one
        line += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        line += ["--unshare-user"]
    for folder in FOLDERS:
        link = os.path.islink(folder)
        line += ["--symlink", os.readlink(folder), folder] if link else ["--ro-bind-try", folder, folder]
    line += ["--dev", "/dev", "--proc", "/proc"]
    for folder in ("/dev/shm", "/tmp", "/home/student"):
        line += ["--perms", "1777", "--size", str(MOST_FILES), "--tmpfs", folder]
    for python in sorted({sys.prefix, sys.base_prefix}):
        if not python.startswith("/usr"):
            for above in reversed(Path(python).parents[:-1]):  # bubblewrap would make them for root alone
                if str(above) not in line:
                    line += ["--perms", "0755", "--dir", str(above)]
            line += ["--ro-bind", python, python]
    line += ["--remount-ro", "/", "--chdir", "/home/student"]
    for name, value in environment("/home/student").items():
        line += ["--setenv", name, value]
    if filter_from >= 0:
        line += ["--seccomp", str(filter_from)]
    return [*line, *command]


def environment(home: str) -> dict[str, str]:
    """The variables that a student's process has: none of the instructor's."""
    one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
    settings = {"HOME": home, "PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "MPLCONFIGDIR": home}
    return one | settings | {"IPYTHONDIR": home, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}


@dataclass(frozen=True)
class Sandbox:
    """How student code is confined here, and what limits its memory.

    "bwrap", "nobody" (bubblewrap for root), "account" (no more than a user of its own, in a container that holds one
    submission) or "none".
    """

    mode: str
    groups: str = ""  # a control group to make others in, "systemd", or nothing

    def unlimited(self) -> str:
        """What nothing limits here, in words, or nothing."""
        if self.mode == "none":
            return "student code runs with your rights, sees your files and the gradebook"
        if self.mode == "account":
            return "student code has a network and sees what every user of this machine sees"
        if not self.groups:
            return (
                "no control group can be had: memory is limited for each process, and for a submission's processes "
                "together only by a look four times a second; what the kernel holds for them is not counted"
            )
        return ""

    @contextlib.contextmanager
    def start(self, program: str, channels: list[int], memory: int) -> Iterator[subprocess.Popen[bytes]]:
        """Run a Python program, given as text, with these descriptors and no others; end it with all its children."""
        command = [sys.executable, "-I", "-c", program]
        inherited, group, env = list(channels), None, {"PATH": os.environ.get("PATH", os.defpath)}
        folder = None
        if self.mode in ("none", "account"):
            folder = tempfile.TemporaryDirectory(prefix="nc-", ignore_cleanup_errors=True)
            os.chmod(folder.name, 0o1777 if self.mode == "account" else 0o700)
            env = environment(folder.name)
        else:
            source = -1
            if code := call_filter():
                source, target = os.pipe()
                os.write(target, code)
                os.close(target)
                inherited.append(source)
            command = bubblewrap(command, self.mode, source)
        if self.groups == "systemd":
            limit = ["-p", f"MemoryMax={memory}", "-p", "MemorySwapMax=0"]
            command = ["systemd-run", "--user", "--scope", "--quiet", "--collect", *limit, *command]
            env |= {k: v for k, v in os.environ.items() if k in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")}
        elif self.groups:
            group = make_group(Path(self.groups), memory)
            command = ["/bin/sh", "-c", f'echo $$ > "{group}/cgroup.procs" && exec "$@"', "sh", *command]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            command, stdin=quiet, stdout=quiet, stderr=subprocess.PIPE if self.mode != "none" else quiet,
            pass_fds=inherited, env=env, cwd=folder.name if folder else "/", start_new_session=True,
        )  # fmt: skip
        for number in inherited[len(channels) :]:
            os.close(number)
        try:
            yield process
        finally:
            process.kill()  # the first process of its PID namespace: all others go with it
            process.wait()
            if process.stderr:
                process.stderr.close()
            if group:
                remove_group(group)
            if folder:
                folder.cleanup()


def make_group(parent: Path, memory: int) -> Path:
    """A control group with this much memory, swap included."""
    group = parent / f"nc-{secrets.token_hex(8)}"
    group.mkdir()
    old, limit = (group / "memory.limit_in_bytes").exists(), group / "memory.max"
    if not old and not limit.exists():  # a folder that is no control group, or one without memory
        group.rmdir()
        raise FileNotFoundError(limit)
    (group / "memory.limit_in_bytes" if old else limit).write_text(str(memory))
    with contextlib.suppress(OSError):
        if old:
            (group / "memory.memsw.limit_in_bytes").write_text(str(memory))
        else:
            (group / "memory.swap.max").write_text("0")
    return group


def remove_group(group: Path) -> None:
    """Take the control group away; whatever is left in it ends."""
    for _ in range(500):
        with contextlib.suppress(OSError, ValueError):
            for number in (group / "cgroup.procs").read_text().split():
                os.kill(int(number), 9)
        try:
            group.rmdir()
            return
        except OSError:
            time.sleep(0.02)


def find_groups() -> str:
    """Where memory of many processes can be limited together: a control group of ours, systemd, or nowhere."""
    places = []
    for line in Path("/proc/self/cgroup").read_text().splitlines() if os.path.exists("/proc/self/cgroup") else []:
        _, kinds, path = line.split(":", 2)
        if not kinds:
            places += [Path("/sys/fs/cgroup" + path), Path("/sys/fs/cgroup" + path).parent]
        elif "memory" in kinds.split(","):
            places += [Path("/sys/fs/cgroup/memory" + path), Path("/sys/fs/cgroup/memory")]
    for place in places:
        with contextlib.suppress(OSError):
            group = make_group(place, 1 << 30)
            done = subprocess.run(
                ["/bin/sh", "-c", f'echo $$ > "{group}/cgroup.procs"'], capture_output=True, check=False
            )
            remove_group(group)
            if done.returncode == 0:
                return str(place)
    trial = ["systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "MemoryMax=1G", "true"]
    if shutil.which("systemd-run") and subprocess.run(trial, capture_output=True, check=False).returncode == 0:
        return "systemd"
    return ""


def find_sandbox() -> Sandbox:
    """The best sandbox that works here, NoSandboxError when there is none; UNSANDBOXED=1 does without."""
    if os.environ.get("UNSANDBOXED") == "1":
        return Sandbox("none")
    reason = "bubblewrap (bwrap) is not installed"
    if shutil.which("bwrap"):
        mode = "nobody" if os.geteuid() == 0 else "bwrap"
        sandbox = Sandbox(mode, find_groups())
        become = f"import os; os.setresuid({NOBODY}, {NOBODY}, {NOBODY}); " if mode == "nobody" else ""
        with sandbox.start(become + "import IPython, numpy", [], 1 << 30) as trial:
            said = trial.stderr.read().decode(errors="replace") if trial.stderr else ""
            if trial.wait() == 0:
                return sandbox
        reason = f"bubblewrap does not work here: {said.strip()[-300:]}"
    raise NoSandboxError(
        f"{reason}\nStudent code is only run in a sandbox. Install bubblewrap (apt install bubblewrap), "
        "or accept the risk with UNSANDBOXED=1."
    )

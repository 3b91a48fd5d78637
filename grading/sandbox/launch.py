"""Start one student's kernel where it can do no harm: python launch.py CONNECTION_FILE RUN_FOLDER.

With bubblewrap the kernel sees the system's programs, this Python and the run folder, all read-only, and small empty
/tmp and working folders: no network, no home, no course, no other submission, no environment variables.
SANDBOX in the environment says how: "bwrap"; "nobody", the same for root, whose kernels continue as the user nobody,
because no limit on processes binds root; or "none". The limits themselves are set in kernel.py, inside.
"""

import os
import sys
from pathlib import Path

NOBODY = 65534
MOST_FILES = 256_000_000  # bytes in each of the folders that the kernel can write
KERNEL = str(Path(__file__).with_name("kernel.py"))


def bubblewrap(run: str, command: list[str], mode: str) -> list[str]:
    """Return the command line that runs command isolated, with the folder run visible."""
    line = ["bwrap", "--die-with-parent", "--new-session", "--clearenv"]
    if mode == "nobody":  # a user namespace would know no user but one
        line += [
            "--unshare-ipc",
            "--unshare-pid",
            "--unshare-net",
            "--unshare-uts",
            "--unshare-cgroup-try",
            "--cap-add",
            "CAP_SETUID",
            "--cap-add",
            "CAP_SETGID",
            "--setenv",
            "BECOME",
            str(NOBODY),
        ]
    else:
        line += ["--unshare-all"]
    for folder in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"):
        if os.path.islink(folder):
            line += ["--symlink", os.readlink(folder), folder]
        else:
            line += ["--ro-bind-try", folder, folder]
    line += ["--dev", "/dev", "--proc", "/proc"]
    for folder in ("/dev/shm", "/tmp", "/home/student"):
        line += ["--perms", "1777", "--size", str(MOST_FILES), "--tmpfs", folder]
    visible = [
        ["--ro-bind", folder, folder]
        for folder in sorted({sys.prefix, sys.base_prefix})
        if not folder.startswith("/usr")
    ]
    visible += [["--ro-bind", KERNEL, KERNEL], ["--bind", run, run]]
    for _, _, path in visible:  # bubblewrap would make the folders on the way for root alone
        for above in reversed(Path(path).parents[:-1]):
            if str(above) not in line:
                line += ["--perms", "0755", "--dir", str(above)]
    line += [word for words in visible for word in words] + ["--chdir", "/home/student"]
    settings = {"HOME": "/home/student", "PATH": f"{sys.prefix}/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    settings |= {k: v for k, v in os.environ.items() if k.startswith("LIMIT_") or k.endswith("_NUM_THREADS")}
    for name, value in settings.items():
        line += ["--setenv", name, value]
    line += command
    return line


def main(connection: str, run: str, *_from_nbgrader: str) -> None:
    """Replace this process by the kernel."""
    mode = os.environ.get("SANDBOX", "")
    command = [sys.executable, "-I", KERNEL, connection]
    if mode == "none":
        os.chdir(run)
        os.execv(command[0], command)
    if mode == "nobody":
        for path in (run, connection):
            os.chown(path, NOBODY, NOBODY)
    elif mode != "bwrap":
        sys.exit("launch.py: no SANDBOX named, nothing started")
    line = bubblewrap(run, command, mode)
    os.execvp(line[0], line)


if __name__ == "__main__":
    main(*sys.argv[1:])

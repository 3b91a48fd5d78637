"""Run the package's tests on every Python and NumPy that it takes, where they can be had here.

    python tools/versions.py dist/release [3.10 3.14 ...]

Each Python found (as `python3.N`, or in pyenv's folder) gets the newest patch of every NumPy from 2.0 on that has a
wheel for it, and the tests that need NumPy alone.  A Python that is not installed is said, and fails nothing.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dist import ALONE, ROOT

PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
NUMPYS = [f"2.{minor}" for minor in range(20)]
UV = Path(sys.executable).parent / "uv"


def interpreter(version):
    """Path of a Python of this version, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"))]
    for path in filter(None, candidates):  # what pyenv puts on the PATH may only say that it is not switched on
        if subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            return path
    return None


def installed(python, *packages):
    """True if all packages could be installed as wheels."""
    command = [UV, "pip", "install", "--quiet", "--only-binary=:all:", "--python", python, *packages]
    return subprocess.run(command, capture_output=True).returncode == 0


def main(out, *versions):
    (wheel,) = out.glob("normcore-*.whl")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        shutil.copytree(ROOT / "tests" / "normcore", work / "tests" / "normcore")
        shutil.copy(ROOT / "tests" / "conftest.py", work / "tests")
        for version in versions or PYTHONS:
            found = interpreter(version)
            if found is None:
                print(f"Python {version}: not on this machine, not tried", flush=True)
                continue
            python = work / version / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            subprocess.run([UV, "venv", "--quiet", "--python", found, work / version], check=True)
            if not installed(python, wheel.resolve(), "pytest", "hypothesis"):
                failed.append(version)
                print(f"Python {version}: the package does not install", flush=True)
                continue
            for numpy in NUMPYS:
                if not installed(python, f"numpy=={numpy}.*"):
                    continue
                done = subprocess.run(
                    [python, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", *ALONE],
                    cwd=work / "tests", capture_output=True, text=True,
                )  # fmt: skip
                last = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1]
                print(f"Python {version}, NumPy {numpy}: {last}", flush=True)
                if done.returncode:
                    failed.append(f"{version} with NumPy {numpy}")
                    print(done.stdout[-3000:], flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

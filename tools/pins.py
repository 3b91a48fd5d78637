"""Is there a wheel for every pin? ``python tools/pins.py`` asks the package index for each Python and platform below.

Nothing is downloaded or installed: `uv` resolves every file of pins as it would on that machine, with hashes, and
without building anything from source.  Exits 1 with the first thing missing for each combination that fails.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ["3.11.9", "3.12", "3.13"]
PLATFORMS = ["windows", "aarch64-apple-darwin", "x86_64-manylinux_2_28", "aarch64-manylinux_2_28"]
PINS = ["requirements-dev.txt", "lite/requirements.txt"]  # the first holds all of requirements.txt


def missing(pins, python, platform, *options):
    """What `uv` says is missing, or nothing."""
    newest = os.environ | {"MACOSX_DEPLOYMENT_TARGET": "14.0"}  # torch needs macOS 14
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    with tempfile.TemporaryDirectory() as target:
        done = subprocess.run(
            [
                uv, "pip", "install", "--dry-run", "--no-progress", "--only-binary=:all:", f"--python-version={python}",
                f"--python-platform={platform}", "--target", target, *options, *pins,
            ],
            cwd=ROOT, env=newest, capture_output=True, text=True,
        )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if not line.startswith("Using")]
    return "\n".join(said) if done.returncode else ""


def main():
    torch = next(
        line for line in (ROOT / "requirements-torch.txt").read_text("utf8").splitlines() if line.startswith("torch")
    )
    failed = False
    for platform in PLATFORMS:
        for python in PYTHONS:
            said = [missing(["-r", file], python, platform, "--require-hashes") for file in PINS]
            said.append(missing([torch], python, platform, "--no-deps"))
            failed = failed or any(said)
            print(f"Python {python:6} {platform:24}", "; ".join(filter(None, said)) or "a wheel for every pin")
    sys.exit(failed)


if __name__ == "__main__":
    main()

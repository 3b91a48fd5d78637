"""Build the package's wheel and sdist, and try each where nothing of this repository is.

    python tools/dist.py dist/release

The tests that the sdist carries run from a folder of their own, in new environments: those of the errors, the
statistics and the properties with NumPy alone, then those that compare with torch with the extra ``normcore[torch]``.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ["normcore", "normbook", "tests", "README.md", "LICENSE", "pyproject.toml"]
ALONE = [f"normcore/test_{name}.py" for name in ("errors", "statistics", "properties")]
WITH_TORCH = [f"normcore/test_{name}.py" for name in ("functional", "grouped", "layers", "twins", "gradcheck")]


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, **options)


def test(python, names, folder):
    """These of the sdist's tests, from a folder without the repository's settings."""
    run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "markers=slow", *names, cwd=folder)


def environment(folder, *packages):
    run(sys.executable, "-m", "venv", folder)
    pip = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*pip, "-c", ROOT / ".cache" / "versions.txt", *packages)
    return folder / "bin" / "python"


def main(out):
    out.mkdir(parents=True, exist_ok=True)
    for old in [*out.glob("normcore-*.whl"), *out.glob("normcore-*.tar.gz")]:
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        builder = environment(work / "builder", "hatchling")
        (work / "source").mkdir()
        for name in SOURCES:
            if (ROOT / name).is_dir():  # the data are for `make wheel`
                shutil.copytree(
                    ROOT / name, work / "source" / name, ignore=shutil.ignore_patterns("_data", "__pycache__")
                )
            else:
                shutil.copy(ROOT / name, work / "source")
        run(builder, "-m", "hatchling", "build", "-d", out.resolve(), cwd=work / "source")
        (sdist,) = out.glob("normcore-*.tar.gz")
        (wheel,) = out.glob("normcore-*.whl")
        with tarfile.open(sdist) as tar:
            tar.extractall(work / "unpacked", filter="data")
        tests = work / "tests"
        (source,) = (work / "unpacked").glob("normcore-*/tests")
        shutil.copytree(source, tests)
        for artifact in (wheel, sdist):
            python = environment(work / "alone" / artifact.name, artifact.resolve(), "pytest", "hypothesis")
            found = subprocess.run(
                [python, "-c", "import normcore; print(normcore.__file__)"], cwd=work, check=True, capture_output=True
            )
            assert str(ROOT) not in found.stdout.decode(), "the tests would try the repository, not the package"
            test(python, ALONE, tests)
            print(f"{artifact.name}: installs with NumPy alone and passes its tests", flush=True)
        torch = f"normcore[torch] @ {wheel.resolve().as_uri()}"
        python = environment(work / "torch", torch, "torch==2.13.0", "onnx", "onnxscript", "pytest", "hypothesis")
        for artifact in (wheel, sdist):
            run(python, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", artifact.resolve())
            test(python, WITH_TORCH, tests)
            print(f"{artifact.name}: passes its tests beside torch", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

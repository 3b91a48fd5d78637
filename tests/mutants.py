"""Do the tests bite?  `make mutants` changes the code in hundreds of small ways and counts the changes that go unseen.

With names or patterns as arguments, such as 'normcore.statistics*', only these are tried again, and all are counted.
mutmut works on a copy in `.cache/mutants`; it needs an environment of its own that sees the project's (the make target
makes it).  What survives is named, with the reason, in SURVIVORS.md beside this file.
"""

import collections
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".cache" / "mutants"
FILES = ("formulas", "engine", "functional", "grouped", "layers", "statistics")
TESTS = ("errors", "functional", "grouped", "layers", "statistics", "properties")
UNSUITED = ("importing_normcore", "core_is_short", "no_memory_beyond")  # about the real files, or too slow to repeat


def main() -> int:
    names = sys.argv[1:]
    if not names:
        shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "tests").mkdir(parents=True, exist_ok=True)
    unneeded = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "normcore", WORK / "normcore", ignore=unneeded, dirs_exist_ok=True)
    formulas = WORK / "normcore" / "formulas.py"  # mutmut leaves decorated functions alone: decorate them at the end
    text = formulas.read_text()
    again = [f"{name} = blockwise({name})" for name in re.findall(r"@blockwise\ndef (\w+)", text)]
    formulas.write_text("\n".join([text.replace("@blockwise\n", ""), *again, ""]))
    shutil.copy(ROOT / "tests" / "conftest.py", WORK / "tests")
    for name in TESTS:
        shutil.copy(ROOT / "tests" / "normcore" / f"test_{name}.py", WORK / "tests")
    lines = [
        "[mutmut]",
        "source_paths=normcore",
        "only_mutate=", *(f"    normcore/{name}.py" for name in FILES),
        "pytest_add_cli_args=", "    -x", "    -W", "    error", "    -k", f"    not {' and not '.join(UNSUITED)}",
        "pytest_add_cli_args_test_selection=", *(f"    tests/test_{name}.py" for name in TESTS),
        "use_git_change_detection=false",
        "[tool:pytest]",  # or pytest takes the settings of pyproject.toml above, and with them the real package
    ]  # fmt: skip
    (WORK / "setup.cfg").write_text("\n".join(lines) + "\n")
    mutmut = str(Path(sys.executable).with_name("mutmut"))
    subprocess.run([mutmut, "run", "--max-children", str(os.cpu_count() or 1), *names], cwd=WORK, check=True)
    done = subprocess.run([mutmut, "results", "--all", "true"], cwd=WORK, check=True, capture_output=True, text=True)
    verdicts = dict(line.strip().split(": ") for line in done.stdout.splitlines() if ": " in line)
    for module in (*FILES, ""):
        counts = collections.Counter(v for k, v in verdicts.items() if k.startswith(f"normcore.{module}"))
        caught = counts["killed"] + counts["timeout"]
        print(f"{module or 'all':12}{caught:5} of {counts.total():5} caught: {100 * caught / counts.total():.1f}%")
    for name, verdict in verdicts.items():
        if verdict not in ("killed", "timeout"):
            shown = subprocess.run([mutmut, "show", name], cwd=WORK, check=True, capture_output=True, text=True).stdout
            change = [x for x in shown.splitlines() if x[:1] in "+-" and x[:3] not in ("+++", "---")]
            print("\n".join([f"\n{name}: {verdict}", *change]))
    return 0


if __name__ == "__main__":
    sys.exit(main())

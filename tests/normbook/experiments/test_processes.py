"""The processes that measure: what becomes of them when the one that began them is killed."""

import subprocess
import sys

import psutil

from normbook.experiments.processes import processes

BEGIN = """
import os, time
from normbook.experiments.processes import processes

if __name__ == "__main__":
    pool = processes(2)
    print(pool.submit(os.getpid).result(), flush=True)
    waits = [pool.submit(time.sleep, 600) for _ in range(2)]
    pool.shutdown()
"""


def test_they_end_with_a_process_that_is_killed(tmp_path):
    script = tmp_path / "measure.py"
    script.write_text(BEGIN)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as began:
        began.stdout.readline()  # one of them works
        theirs = psutil.Process(began.pid).children(recursive=True)
        assert theirs and all(one.is_running() for one in theirs)
        began.kill()
    _, left = psutil.wait_procs(theirs, timeout=30)
    for one in left:
        one.kill()
    assert not left


def test_what_they_return_is_kept_in_order():
    with processes(2) as pool:
        assert list(pool.map(abs, [-1, 2, -3])) == [1, 2, 3]

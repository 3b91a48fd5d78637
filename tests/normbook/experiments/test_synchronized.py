import subprocess

import numpy as np
import pytest

from normbook.experiments import synchronized
from normcore import batch_norm, batch_norm_backward


@pytest.fixture
def problem():
    random = np.random.default_rng(0)
    x = random.normal(3, 2, size=(6, 4, 5, 5))
    x[3:] += 1
    return x, random.normal(size=x.shape), random.normal(size=4), random.normal(size=4)


def whole(x, dy, gamma, beta):
    y, cache = batch_norm(x, gamma, beta)
    return y, *batch_norm_backward(dy, cache)


def test_one_process_is_plain_batch_norm(problem):
    step = synchronized.synchronized_batch_norm(*problem, total=lambda a: a)
    for ours, theirs in zip(step, whole(*problem), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_an_offset_does_not_cost_digits(problem):
    x, dy, gamma, beta = problem
    near = synchronized.synchronized_batch_norm(x, dy, gamma, beta, total=lambda a: a)
    far = synchronized.synchronized_batch_norm(x + 1e6, dy, gamma, beta, total=lambda a: a)
    np.testing.assert_allclose(far.y, near.y, atol=1e-8)  # E[x²] − E[x]² would lose four digits more


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_processes_agree_with_the_whole_batch(problem, processes):
    pytest.importorskip("torch")
    step = synchronized.in_processes(*problem, processes=processes)
    for ours, theirs in zip(step, whole(*problem), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)


def test_an_uneven_split_is_refused(problem):
    with pytest.raises(ValueError, match="6 samples over 4 processes"):
        synchronized.in_processes(*problem, processes=4)


def test_a_failing_process_says_why(problem, monkeypatch):
    monkeypatch.setattr(synchronized, "child_environment", lambda: {"PATH": "", "PYTHONPATH": "/nowhere", "HOME": "/"})
    monkeypatch.setattr(synchronized.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="process 0 failed"):
        synchronized.in_processes(*problem)


def test_no_process_is_left_behind(problem, monkeypatch):
    """Processes that never finish are stopped when the time is over."""
    started, original = [], subprocess.Popen

    def forever(command, **options):
        started.append(original(["sleep", "60"], stdout=options["stdout"], stderr=options["stderr"]))
        return started[-1]

    monkeypatch.setattr(synchronized.subprocess, "Popen", forever)
    with pytest.raises(RuntimeError, match="did not finish"):
        synchronized.in_processes(*problem, timeout=0.5)
    assert len(started) == 2 and all(process.returncode is not None for process in started)

"""Shared by all tests: one thread for torch and BLAS, and a quick, repeatable profile for hypothesis."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # small tensors: waiting for a second thread costs more than it brings

from hypothesis import settings  # noqa: E402

settings.register_profile("normcore", max_examples=40, derandomize=True, deadline=None, database=None)
settings.load_profile("normcore")

"""A process that has imported everything and forks a child, with limits, for each piece of work on a submission.

Whatever a submission can make slow or large is done there: reading, repairing, examining, drawing its feedback. A child
that takes too much is ended, and its parent goes on. Requests come from the grader and are pickled. Replies may have
been shaped by a submission, so they are JSON.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import json
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

LENGTH = struct.Struct("!Q")
MOST_REPLY = 100_000_000
PRELOAD = ("grading.run", "nbformat.v4", "latex2mathml.converter", "pygments.lexers", "numpy", "IPython")


class WorkError(Exception):
    """The work was not done: it failed, took too long, or needed too much."""


class Forge:
    """The grader's end: forge(function, ...) calls a module's function in a limited child."""

    def __init__(self) -> None:
        path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        one = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "grading.forge"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True, cwd=Path(__file__).parents[1], env={**os.environ, **one, "PYTHONPATH": path},
        )  # fmt: skip

    def __call__(self, function: Callable[..., Any], *args: Any, seconds: float, memory: int) -> Any:
        """The function's result, or WorkError with the reason; BrokenPipeError when the forge itself was killed."""
        request = pickle.dumps((function.__module__, function.__qualname__, args, seconds, memory))
        given, taken = self.process.stdin, self.process.stdout
        if given is None or taken is None:
            raise BrokenPipeError
        given.write(LENGTH.pack(len(request)) + request)
        given.flush()
        head = taken.read(LENGTH.size)
        if len(head) < LENGTH.size:
            raise BrokenPipeError
        reply = json.loads(taken.read(LENGTH.unpack(head)[0]))
        if "error" in reply:
            raise WorkError(reply["error"])
        return reply["done"]

    def close(self) -> None:
        """End the process and what it is doing."""
        with contextlib.suppress(OSError):
            for end in (self.process.stdin, self.process.stdout):
                if end:
                    end.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _child(answer_to: int, module: str, name: str, args: tuple[Any, ...], seconds: float, memory: int) -> None:
    """Do the work under limits and write the reply."""
    try:
        for what, most in (
            (resource.RLIMIT_DATA, memory),
            (resource.RLIMIT_CPU, int(seconds) + 1),
            (resource.RLIMIT_FSIZE, MOST_REPLY),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(what, (most, resource.getrlimit(what)[1]))  # the hard ones stay for what it starts
        reply = {"done": getattr(importlib.import_module(module), name)(*args)}
        text = json.dumps(reply)
    except BaseException as error:
        text = json.dumps({"error": f"{type(error).__name__}: {str(error)[:1000]}"})
    data = memoryview(text.encode())
    while data:
        data = data[os.write(answer_to, data) :]


def _wait(child: int, answer: int, seconds: float) -> bytes:
    """The child's reply, or an error in its place; if the grader goes away, so does this process."""
    deadline, reply = time.monotonic() + seconds, bytearray()
    why = ""
    while not why:
        ready, _, _ = select.select([answer, 0], [], [], max(deadline - time.monotonic(), 0))
        if answer in ready:
            piece = os.read(answer, 1 << 20)
            if not piece:
                break
            reply += piece
        elif 0 in ready:  # nothing is asked before the answer: the grader has gone
            os.kill(child, signal.SIGKILL)
            os._exit(1)
        if len(reply) > MOST_REPLY:
            why = "too much output"
        elif time.monotonic() > deadline:
            why = "too much time"
    if why:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not why and os.WIFSIGNALED(status):
        why = "too much time" if os.WTERMSIG(status) == signal.SIGXCPU else f"signal {os.WTERMSIG(status)}"
    return json.dumps({"error": why}).encode() if why else bytes(reply)


def _adopt() -> None:
    """Become the parent of whatever is left of a child's processes, so that it can be ended."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def _end_all() -> None:
    """End what a child left behind; a process that cuts its ties has this one as its parent."""
    for _ in range(100):
        left = psutil.Process().children(recursive=True)
        if not left:
            return
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, 0.1)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def main() -> None:
    """Serve requests from standard input until it ends."""
    _adopt()
    out = os.dup(1)
    os.dup2(2, 1)  # what a library prints is no reply
    for name in PRELOAD:
        importlib.import_module(name)
    source = io.FileIO(0, closefd=False)
    while head := source.read(LENGTH.size):
        size, request = LENGTH.unpack(head)[0], bytearray()
        while len(request) < size:
            if not (piece := source.read(size - len(request))):
                return
            request += piece
        module, name, args, seconds, memory = pickle.loads(request)
        answer, answer_to = os.pipe()
        if not (child := os.fork()):
            os.close(answer)
            for number in range(3):  # what a library says about a submission reaches no terminal
                os.dup2(os.open(os.devnull, os.O_RDWR), number)
            _child(answer_to, module, name, args, seconds, memory)
            os._exit(0)
        os.close(answer_to)
        reply = _wait(child, answer, seconds)
        os.close(answer)
        _end_all()
        data = memoryview(LENGTH.pack(len(reply)) + reply)
        while data:
            data = data[os.write(out, data) :]


if __name__ == "__main__":
    main()

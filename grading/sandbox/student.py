"""The examiner's end of a student's process: what is asked, what comes back, and what becomes of it in time."""

from __future__ import annotations

import base64
import binascii
import builtins
import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from nbformat import NotebookNode, v4

from grading.sandbox.launch import NOBODY, Sandbox
from grading.sandbox.wire import Packer, Refused, Unpacker, receive, send

HERE = Path(__file__).parent
PATIENCE = 5.0  # seconds between the alarm inside and the end from outside
START = 60.0  # seconds for Python and NumPy to load on a busy machine
MOST_CALLBACKS = 20_000  # calls back to the functions of a test
MOST_SHOWN = 2_000_000  # characters of all outputs of a notebook
MAGIC = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}
ERRORS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in vars(builtins).values()
    if isinstance(kind, type) and issubclass(kind, Exception) and not re.search("Unicode|Group", kind.__name__)
}


@dataclass(frozen=True)
class Limits:
    """What a submission may use: seconds for a cell or a test and in all; bytes of memory and of a file; processes."""

    cell: float = 60
    total: float = 600
    memory: int = 4_000_000_000
    file: int = 50_000_000
    processes: int = 256

    @classmethod
    def from_environment(cls) -> Limits:
        """As CELL_SECONDS, NOTEBOOK_SECONDS and LIMIT_MEMORY say."""
        cell = float(os.environ.get("CELL_SECONDS", cls.cell))
        total = float(os.environ.get("NOTEBOOK_SECONDS", 10 * cell))
        return cls(cell, total, int(os.environ.get("LIMIT_MEMORY", cls.memory)))


class Lost(BaseException):
    """The student's process ended, took too long, or said what no worker says. No test can catch it by accident."""


def printable(text: str, most: int) -> str:
    """The text without control characters and half characters, cut to a length."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text[: 4 * most])
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)[:most]


class Student:
    """One student's process. Channel 0 is for cells and visible tests, the others for snapshots."""

    def __init__(self, sandbox: Sandbox, limits: Limits, snapshots: int) -> None:
        self.sandbox, self.limits, self.snapshots = sandbox, limits, snapshots
        self.end = time.monotonic() + limits.total
        self.channels: list[socket.socket] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.context = contextlib.ExitStack()
        self.reason = ""
        self.room = MOST_SHOWN
        self.timed_out = self.out_of_memory = False  # in the last call

    def start(self) -> None:
        """Start the process; its failure to start is no fault of the student's."""
        self.reason = ""
        pairs = [socket.socketpair() for _ in range(self.snapshots + 1)]
        theirs = [there.fileno() for _, there in pairs]
        self.channels = [here for here, _ in pairs]
        settings = {
            "become": NOBODY + secrets.randbelow(2**30) if self.sandbox.mode in ("nobody", "account") else 0,
            "memory": self.limits.memory,
            "processes": self.limits.processes,
            "file": self.limits.file,
        }
        program = (HERE / "wire.py").read_text() + (HERE / "worker.py").read_text().replace(
            "from __future__ import annotations\n", ""
        )
        program += f"\nserve({theirs[0]}, {theirs[1:]}, {settings})\n"
        self.process = self.context.enter_context(self.sandbox.start(program, theirs, self.limits.memory))
        for _, there in pairs:
            there.close()
        try:
            self._talk({"run": "", "seconds": START}, START)
        except Lost as lost:
            said = ""
            if self.process and self.process.stderr:
                self.process.kill()
                said = self.process.stderr.read(2000).decode(errors="replace")
            raise RuntimeError(f"the sandbox does not start: {lost} {said}") from None
        if not self.sandbox.groups:
            threading.Thread(target=self._watch, args=(self.process,), daemon=True).start()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Where no control group limits memory: end the process when it and its children have too much."""
        with contextlib.suppress(psutil.Error, OSError):
            root = psutil.Process(process.pid)
            while process.poll() is None:
                family = [root, *root.children(recursive=True)]
                if sum(map(_memory, family)) > self.limits.memory or len(family) > 2 * self.limits.processes:
                    self.reason = "too much memory" if len(family) <= self.limits.processes else "too many processes"
                    process.kill()
                time.sleep(0.25)

    @property
    def running(self) -> bool:
        """True as long as the process lives."""
        return self.process is not None and self.process.poll() is None

    def stop(self) -> None:
        """End the process with all its children."""
        for channel in self.channels:
            channel.close()
        self.channels, self.process = [], None
        self.context.close()

    def run(self, code: str) -> dict[str, Any]:
        """Run a cell; return {"outputs": nbformat outputs, "error": [name, text] or None, "cut": bool}."""
        reply, _ = self._talk({"run": code, "seconds": self.limits.cell}, self.limits.cell + PATIENCE)
        try:
            shown, cut = self._outputs(reply["shown"])
            error = [printable(str(part), 300) for part in reply["error"]][:2] if reply.get("error") else None
            return {"outputs": shown, "error": error, "cut": cut or bool(reply.get("cut"))}
        except Exception:
            raise self._lost("it said what no notebook says") from None

    def snapshot(self, number: int) -> None:
        """Let a copy of the process, as it is now, answer on a channel of its own."""
        self._talk({"snapshot": number}, self.limits.cell + PATIENCE)

    def ask(
        self, kind: str, name: str, args: Sequence[Any], kwargs: dict[str, Any], channel: int, seconds: float
    ) -> Any:
        """Call or get what the student named so; return a plain copy, or raise a plain exception."""
        packer = Packer()
        values = packer.pack((*args, *kwargs.values()))
        tree = {kind: name, "args": values, "names": list(kwargs), "seconds": max(seconds, 0.1)}
        reply, data = self._talk(tree, max(seconds, 0.1) + PATIENCE, packer, channel)
        raised: Exception | None = None
        result = None
        try:
            if "error" in reply:
                raised = self._raised(*map(str, reply["error"]))
            else:
                unpacker = Unpacker(data)
                result = unpacker.unpack(reply["value"])
                for number, tree in reply["changed"]:  # what was done to the arguments, done to the test's own
                    new, old = unpacker.unpack(tree), packer.arrays[number]
                    if new.shape != old.shape or new.dtype != old.dtype.newbyteorder("<"):
                        raise Refused("an argument changed its form")
                    if old.flags.writeable:
                        np.copyto(old, new)
        except Exception:
            raise self._lost("it gave no answer that can be read", channel) from None
        if raised:
            raise raised
        return result

    def _raised(self, name: str, text: str) -> Exception:
        self.timed_out |= name == "TimeIsUp"
        self.out_of_memory |= "MemoryError" in name
        kind = ERRORS.get(name, RuntimeError)
        error: Exception = kind(printable(text if name in ERRORS else f"{name}: {text}", 300))
        error.student = True  # type: ignore[attr-defined]
        return error

    def _talk(
        self, tree: dict[str, Any], seconds: float, asked: Packer | None = None, channel: int = 0
    ) -> tuple[dict[str, Any], bytes]:
        """Send a message, serve the calls back, return (reply, data); whatever goes wrong is a loss."""
        deadline = min(time.monotonic() + seconds, max(self.end, time.monotonic() + 0.1))
        number = secrets.token_hex(8)  # no reply can be written before its question
        try:
            if not self.running:
                raise EOFError("it ended itself")
            line = self.channels[channel]
            send(line, {**tree, "id": number}, asked.data if asked else (), deadline)
            for _ in range(MOST_CALLBACKS):
                reply, data = receive(line, deadline)
                if reply.get("id") == number:
                    return reply, data
                if not asked:
                    raise Refused("it answered what was not asked")
                result, args = Packer(), Unpacker(data).unpack(reply["args"])
                values = result.pack(asked.functions[reply["callback"]](*args))
                send(line, values, result.data, deadline)
            raise Refused("too many calls back")
        except TimeoutError:
            self.timed_out = True
            raise self._lost("it could not be interrupted", channel) from None
        except (EOFError, OSError):
            raise self._lost("it ended itself", channel) from None
        except Refused as error:
            raise self._lost(str(error), channel) from None
        except Exception:  # its text may be that of a test's own function
            raise self._lost("it said what no worker says", channel) from None

    def _lost(self, why: str, channel: int = 0) -> Lost:
        """Give up on the process, or on a snapshot."""
        process = self.process
        if channel == 0 and process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
            if process.poll() in (-9, 137):
                why = "it was killed, as happens when memory runs out"
            process.kill()
            process.wait()
        elif process is not None:
            self.channels[channel].close()
            with contextlib.suppress(subprocess.TimeoutExpired):  # did it take the whole process along?
                process.wait(0.2)
        return Lost(self.reason or why)

    def _outputs(self, shown: Any) -> tuple[list[NotebookNode], bool]:
        """Outputs for a notebook, of text and pictures alone; and whether something was left out."""
        outputs, cut = [], False
        for kind, what in shown:
            size = len(json.dumps(what))
            self.room -= size
            if self.room < 0:
                cut = True
                continue
            if kind in ("stdout", "stderr"):
                outputs.append(v4.new_output("stream", name=kind, text=printable(str(what), MOST_SHOWN)))
            elif kind == "error":
                lines = [printable(str(line), 20_000) for line in what[1:]][:200]
                outputs.append(v4.new_output("error", ename=printable(str(what[0]), 100), evalue="", traceback=lines))
            elif kind in ("data", "result"):
                data = {"text/plain": printable(str(what.get("text/plain", "")), MOST_SHOWN)}
                data |= {mime: picture for mime in MAGIC if (picture := _picture(mime, what.get(mime)))}
                outputs.append(v4.new_output("display_data", data))
        return outputs, cut


def _picture(mime: str, text: Any) -> str:
    """The picture, if it is one of that kind."""
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except (AttributeError, binascii.Error, ValueError):
        return ""
    return base64.b64encode(raw).decode() if raw.startswith(MAGIC[mime]) else ""


def _memory(process: psutil.Process) -> int:
    """Bytes of a process, what it shares with others counted once in all; where that is not told, all it holds."""
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        return 1024 * int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[1])  # type: ignore[index]
    except (OSError, TypeError):
        try:
            return int(process.memory_info().rss)
        except psutil.Error:
            return 0

"""How nbgrader runs a submission here: in the sandbox, cell by cell, with the surprises turned into flags."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil
from jupyter_client.kernelspec import KernelSpecManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from nbgrader.utils import is_grade, is_locked
from traitlets import Int

from grading.records import Flag
from grading.source import secret_lines

MOST_OUTPUT = 2_000_000  # bytes of one cell's messages; the kernel itself already cuts what is printed


class Watchdog(threading.Thread):
    """Ends a kernel with all its processes when it has too many, too much memory or too little time left."""

    def __init__(self, pid: int, seconds: float, processes: int, memory: int) -> None:
        super().__init__(daemon=True)
        self.root, self.deadline = psutil.Process(pid), time.monotonic() + seconds
        self.processes, self.memory = processes, memory
        self.reason, self.done = "", threading.Event()

    def run(self) -> None:
        """Look four times a second."""
        while not self.done.wait(0.25):
            try:
                family = [self.root, *self.root.children(recursive=True)]
                used = 0
                for process in family[: self.processes + 1]:
                    with contextlib.suppress(psutil.Error):
                        used += process.memory_info().rss
            except psutil.Error:
                return
            if len(family) > self.processes:
                self.reason = "too many processes"
            elif used > self.memory:
                self.reason = "too much memory"
            elif time.monotonic() > self.deadline:
                self.reason = "too much time in all"
            else:
                continue
            for process in (self.root, *family):
                with contextlib.suppress(psutil.Error):
                    process.kill()
            return


def _error(name: str, text: str) -> NotebookNode:
    return nbformat.v4.new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])


class SandboxedExecute(Execute):
    """Executes a submission; a test counts as passed only if the kernel said so and can still say no.

    The flags end up in the notebook's metadata, from where SaveFlags takes them.
    """

    total = Int(600, help="seconds for a whole notebook").tag(config=True)
    processes = Int(32, help="processes of one kernel").tag(config=True)
    memory = Int(4_000_000_000, help="bytes of one kernel and its children").tag(config=True)
    patience = Int(5, help="seconds to stop after an interrupt").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any], retries: int | None = None) -> Any:
        self.flags: list[Flag] = []
        self.dead = self.watchdog = None
        self.interrupt_on_timeout = True
        self.hidden = secret_lines(nb)
        self.settled: set[int] = set()
        try:
            return super().preprocess(nb, resources, retries)
        except Exception as error:
            if self.watchdog is None:
                raise  # the kernel never started: nothing that the student did, so no grade
            if not self.dead:  # it went away after the last cell
                self._flag("kernel ended", type(error).__name__)
            return nb, resources
        finally:
            if self.watchdog:
                self.watchdog.done.set()
            for index, cell in enumerate(nb.cells):  # nbgrader would take a test without output for a passed one
                if cell.cell_type == "code" and is_grade(cell) and index not in self.settled:
                    cell.outputs = [_error("NotRun", self.dead or "this test was not run")]
            nb.metadata["normcore_flags"] = [vars(flag) for flag in self.flags]

    def _flag(self, kind: str, detail: str = "") -> None:
        if (flag := Flag(kind, detail)) not in self.flags:
            self.flags.append(flag)

    def create_kernel_manager(self) -> Any:
        manager, run = super().create_kernel_manager(), os.environ["RUN_FOLDER"]
        manager.kernel_spec_manager = KernelSpecManager(kernel_dirs=[f"{run}/kernels"], ensure_native_kernel=False)
        # the sandbox has no network, not even the loopback: kernel and grader talk over sockets in a folder
        manager.transport, manager.ip, manager.connection_file = "ipc", f"{run}/s", f"{run}/connection.json"
        if not manager.kernel_spec.argv[1].endswith("launch.py"):
            raise RuntimeError("the kernel would start outside the sandbox")
        return manager

    def start_new_kernel_client(self, **kwargs: Any) -> Any:
        client = super().start_new_kernel_client(**kwargs)  # returns when the kernel answers
        self.watchdog = Watchdog(self.km.provisioner.process.pid, self.total, self.processes, self.memory)
        self.watchdog.start()
        return client

    def _declare_dead(self, nb: NotebookNode, index: int, why: str) -> None:
        """Give up on the cells from here on."""
        self.dead = (self.watchdog.reason if self.watchdog else "") or why
        self._flag("kernel ended", self.dead)
        for cell in nb.cells[index:]:
            if cell.cell_type == "code" and not _kept(cell):
                cell.outputs = [_error("KernelEnded", f"The kernel ended before this cell was done: {self.dead}.")]

    def preprocess_cell(self, cell: NotebookNode, resources: dict[str, Any], index: int) -> Any:
        if cell.cell_type != "code" or self.dead or _kept(cell):
            return cell, resources
        locked = is_locked(cell)
        role = ("test" if is_grade(cell) else "given") if locked else ""
        reply = self._run(cell, index, role)
        if self.dead:
            return cell, resources
        name = cell.metadata.get("nbgrader", {}).get("grade_id", f"cell {index}")
        if reply.get("ename") == "CellTimeoutError":
            self._flag("time limit", name)
            if not self._answers(index):
                self.km.provisioner.process.kill()
                self._declare_dead(self.nb, index, "it could not be interrupted")
                return cell, resources
        if "MemoryError" in reply.get("ename", ""):
            self._flag("memory limit", name)
        if reply.get("changed"):
            self._flag("tampering", f"{', '.join(reply['changed'][:5])} replaced")
        if reply.get("cut") or self.bytes_seen > MOST_OUTPUT:
            self._flag("output cut")
        if role == "test":
            self._settle(cell, index, reply)
        self._remove_hidden_tests(cell, name)
        return cell, resources

    def _remove_hidden_tests(self, cell: NotebookNode, name: str) -> None:
        """Student code can look at the test that calls it; what it prints of it does not get into the feedback."""
        for output in cell.outputs:
            shown = "" if output.output_type == "error" and is_grade(cell) else json.dumps(output)
            if any(json.dumps(line)[1:-1] in shown for line in self.hidden):
                output.clear()
                output.update(nbformat.v4.new_output("stream", text="[removed: it showed hidden tests]"))
                self._flag("hidden tests shown", name)

    def _run(self, cell: NotebookNode, index: int, role: str) -> dict[str, Any]:
        """Execute one cell, in the role that its metadata gives it; return the kernel's reply."""
        self.reply: dict[str, Any] = {}
        self.bytes_seen = 0
        self.kc.session.metadata = {"normcore": role}
        own = self.nb.cells[index]
        try:
            self.execute_cell(cell, index, store_history=role != "probe")
        except DeadKernelError:
            self._declare_dead(self.nb, index, "it ended itself")
        except Exception as error:
            self.km.provisioner.process.kill()
            late = isinstance(error, CellTimeoutError)
            self._declare_dead(self.nb, index, "it could not be interrupted" if late else type(error).__name__)
        finally:
            self.nb.cells[index] = own  # nbclient puts the executed cell there, and a probe is none of the notebook's
        return self.reply

    def on_cell_executed(self, **kwargs: Any) -> None:
        super().on_cell_executed(**kwargs)
        self.reply = kwargs["execute_reply"]["content"]

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        if msg["msg_type"] not in ("status", "execute_input", "error"):
            self.bytes_seen += len(json.dumps(msg["content"], default=str))
            if self.bytes_seen > MOST_OUTPUT:
                return None
        return super().process_message(msg, cell, cell_index)

    def _answers(self, index: int) -> bool:
        """True if the kernel is ready for the next cell soon after it was interrupted."""
        seconds, self.timeout = self.timeout, self.patience
        try:
            return self._run(nbformat.v4.new_code_cell("pass"), index, "probe").get("status") == "ok"
        finally:
            self.timeout = seconds

    def _settle(self, cell: NotebookNode, index: int, reply: dict[str, Any]) -> None:
        """Make the outputs of a test say what the kernel's reply says, and only that."""
        passed = reply.get("status") == "ok"
        self.settled.add(index)
        for output in cell.outputs:
            if output.output_type == "stream":
                output.name = "stdout"  # nbgrader would take a warning for a failed test
            elif output.output_type == "execute_result":  # and a number for partial credit
                output.output_type = "display_data"
                output.pop("execution_count", None)
        if passed:
            cell.outputs = [o for o in cell.outputs if o.output_type != "error"]
            if "changed" not in reply or not self._can_fail(index):
                if not self.dead:
                    self._flag("tampering", "checks can no longer fail")
                cell.outputs.append(_error("NotTrusted", "The checks no longer notice wrong values."))
        elif not any(o.output_type == "error" for o in cell.outputs):
            cell.outputs.append(_error(reply.get("ename", "Error"), reply.get("evalue", "the cell failed")))

    def _can_fail(self, index: int) -> bool:
        """Run two checks that must fail, with numbers drawn for the occasion; True if both do, in clean conditions."""
        for form in (
            "import numpy as np\nassert np.allclose([{0}], [{1}]), {2!r}",
            "import numpy as np\ncheck = abs(np.asarray({0}) - {1}).max() <= {3}\nassert check, {2!r}",
        ):
            a, word = secrets.randbelow(10**6) / 1000, secrets.token_hex(8)
            probe = nbformat.v4.new_code_cell(form.format(a, a + 1 + secrets.randbelow(1000) / 100, word, 1e-3))
            reply = self._run(probe, index, "probe")
            if reply.get("status") != "error" or word not in str(reply.get("evalue")):
                return False
            if reply.get("changed"):  # during the test, or from another thread
                self._flag("tampering", f"{', '.join(reply['changed'][:5])} replaced")
                return False
        return True


def _kept(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("normcore", {}).get("role") == "keep")


class SaveFlags(NbGraderPreprocessor):
    """Writes the flags of the run to the file that grade.py named in RUN_FLAGS."""

    def preprocess(self, nb: NotebookNode, resources: dict[str, Any]) -> Any:
        flags = nb.metadata.pop("normcore_flags", [{"kind": "no record of the run"}])
        Path(os.environ["RUN_FLAGS"]).write_text(json.dumps(flags))
        return nb, resources

"""The student's process: runs cells and answers calls. It is sent as text, after wire.py; it trusts and knows nothing.

Nothing that happens in here counts: no test, no comparison and no hidden text is in this process.
"""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import socket
import sys
from typing import Any

if __package__:  # as text, wire.py stands above
    from grading.sandbox.wire import Packer, Unpacker, receive, send

MOST_OUTPUT = 200_000  # characters of one cell; pictures have their own limit outside
PICTURES = ("image/png", "image/jpeg")


class TimeIsUp(KeyboardInterrupt):
    """Not an Exception: `except Exception` does not hold it."""


def limit_resources(settings: dict[str, int]) -> None:
    """Lower the rights of this process for good: user, memory, processes, size of files, no core dumps."""
    if user := settings["become"]:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    for what, most in (
        (resource.RLIMIT_DATA, settings["memory"]),
        (resource.RLIMIT_NPROC, settings["processes"]),
        (resource.RLIMIT_FSIZE, settings["file"]),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


class Screen(io.TextIOBase):
    """Collects what a cell prints, up to a limit."""

    def __init__(self, outputs: list[Any], name: str) -> None:
        self.outputs, self.name, self.room, self.cut = outputs, name, MOST_OUTPUT, False

    def write(self, text: str) -> int:
        """Keep the text as far as there is room."""
        kept = text[: self.room]
        self.room -= len(kept)
        self.cut |= len(kept) < len(text)
        if kept and self.outputs and self.outputs[-1][0] == self.name:
            self.outputs[-1][1].append(kept)
        elif kept:
            self.outputs.append([self.name, [kept]])
        return len(text)


class Notebook:
    """The shell that runs the student's cells, as IPython does in a notebook."""

    def __init__(self) -> None:
        from IPython.core.displayhook import DisplayHook
        from IPython.core.displaypub import DisplayPublisher
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        outputs: list[Any] = []
        self.outputs = outputs

        class Publisher(DisplayPublisher):
            def publish(self, data: Any, *_: Any, **__: Any) -> None:
                outputs.append(["data", data])

        class Hook(DisplayHook):
            def write_output_prompt(self) -> None:
                """Nothing: the number of a cell is not shown."""

            def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
                outputs.append(["result", format_dict])

        config = Config(HistoryManager={"enabled": False})
        shell: Any = InteractiveShell.instance(config=config, display_pub_class=Publisher, displayhook_class=Hook)
        self.shell = shell
        shell.enable_gui = lambda gui=None: None  # %matplotlib asks for it
        shell._showtraceback = lambda kind, value, lines: outputs.append(["error", [kind.__name__, *lines]])

    def run(self, code: str, seconds: float) -> dict[str, Any]:
        """Run a cell; return what it showed."""
        self.outputs.clear()
        screens = Screen(self.outputs, "stdout"), Screen(self.outputs, "stderr")
        name = text = ""
        with contextlib.redirect_stdout(screens[0]), contextlib.redirect_stderr(screens[1]), alarm(seconds):
            try:
                done = self.shell.run_cell(code)
                if (error := done.error_before_exec or done.error_in_exec) is not None:
                    name, text = type(error).__name__, str(error)[:300]
            except BaseException as error:
                name = type(error).__name__
        shown, room = [], 10 * MOST_OUTPUT
        for kind, what in self.outputs:
            if kind in ("data", "result"):
                what = {k: v for k, v in what.items() if k in ("text/plain", *PICTURES) and isinstance(v, str)}
                room -= sum(map(len, what.values()))
            else:
                what = "".join(what) if kind != "error" else [str(line) for line in what]
            if room > 0:
                shown.append([kind, what])
        return {
            "shown": shown,
            "error": [name, text] if name else None,
            "cut": any(s.cut for s in screens) or room <= 0,
        }


@contextlib.contextmanager
def alarm(seconds: float) -> Any:
    """Interrupt what takes longer; what does not let itself be interrupted is ended from outside."""

    def ring(*_: Any) -> None:
        raise TimeIsUp("the time limit")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def answer(channel: socket.socket, names: dict[str, Any], tree: Any, data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Call or get what the student named so; return the reply and its bytes."""

    def callback(number: int) -> Any:  # a function of the tests stays with them: each call goes there and back
        def ask(*point: Any) -> Any:
            question = Packer()
            values = question.pack(point)
            send(channel, {"callback": number, "args": values}, question.data)
            reply, raw = receive(channel)
            return Unpacker(raw).unpack(reply)

        return ask

    packer = Packer()
    try:
        with alarm(tree["seconds"]):
            values = Unpacker(data, callback)
            args, keys = values.unpack(tree["args"]), tree["names"]
            plain = len(args) - len(keys)
            before = [array.tobytes() for array in values.arrays]
            value = names[tree.get("call") or tree["get"]]
            if "call" in tree:
                value = value(*args[:plain], **dict(zip(keys, args[plain:], strict=True)))
            reply: dict[str, Any] = {"value": packer.pack(value)}
            changed = [i for i, array in enumerate(values.arrays) if array.tobytes() != before[i]]
            reply["changed"] = [[i, packer.pack(values.arrays[i])] for i in changed]
            if packer.functions:
                raise TypeError("a function is not a number or an array")
    except BaseException as error:
        packer, text = Packer(), "no message"
        with contextlib.suppress(BaseException):
            text = str(error)[:300]
        reply = {"error": [type(error).__name__, text]}
    return reply, packer.data


def serve(main: int, others: list[int], settings: dict[str, int]) -> None:
    """Answer on the main channel; a snapshot is a copy of this process that answers on a channel of its own."""
    limit_resources(settings)
    import numpy  # noqa: F401 - the first cell needs it, too

    for number in (main, *others):  # not for programs that the student's code starts
        os.set_inheritable(number, False)
    notebook = Notebook()
    channel = socket.socket(fileno=main)
    while True:
        try:
            tree, data = receive(channel)
        except EOFError:
            os._exit(0)
        raw: list[bytes] = []
        if "run" in tree:
            reply = notebook.run(tree["run"], tree["seconds"])
        elif "snapshot" in tree:
            number = others[tree["snapshot"]]
            if os.fork():
                os.close(number)
                reply = {}
            else:
                channel.close()
                for other in others:  # a channel ends with the only process that answers on it
                    if other != number:
                        with contextlib.suppress(OSError):
                            os.close(other)
                channel = socket.socket(fileno=number)
                continue
        else:
            reply, raw = answer(channel, notebook.shell.user_ns, tree, data)
        send(channel, {**reply, "id": tree["id"]}, raw)


if not __package__:
    sys.argv = [""]

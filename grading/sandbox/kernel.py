"""The kernel that runs a student's notebook when it is graded.

It differs from IPython's own in three ways. It lowers its limits before any student code runs. It undoes, before
every cell, what student code did to NumPy, the builtins and IPython itself, and reports it. And it runs the
instructors' locked cells in a namespace of their own, where a student's `np`, `abs` or `check_close` does not count.

All of this shares a process with the student's code, so a determined student can defeat it. What it reports is
therefore checked from outside (see execute.py), and the instructors' page says what remains.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import os
import resource
import sys
import types
from collections.abc import Iterator
from typing import Any, ClassVar

GUARDED = ("numpy", "IPython", "ipykernel", "traitlets.traitlets", "builtins", "math", "ast", "traceback")
PLAIN = (types.FunctionType, types.BuiltinFunctionType, type)
CHANGES_BY_ITSELF = {"input", "raw_input", "getpass", "display", "_", "print_function", "get_ipython"}


def limit_resources() -> None:
    """Lower the rights of this process for good: user, memory, processes, size of files, no core dumps."""
    if user := int(os.environ.pop("BECOME", 0)):
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    memory = int(os.environ.get("LIMIT_MEMORY", 4_000_000_000))
    for what, value in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, int(os.environ.get("LIMIT_PROCESSES", 512))),
        (resource.RLIMIT_FSIZE, int(os.environ.get("LIMIT_FILE", 50_000_000))),
    ):
        resource.setrlimit(what, (value, value))


class Guard:
    """Remembers what NumPy, the builtins and IPython looked like, and puts it back."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.modules = {
            name: module
            for name, module in list(sys.modules.items())
            if name.split(".")[0] in GUARDED or name in GUARDED
        }
        self.names: dict[str, dict[str, Any]] = {}
        self.code: dict[int, tuple[Any, str, tuple[Any, ...]]] = {}
        classes = []
        for label, module in self.modules.items():
            members = {
                k: v
                for k, v in vars(module).items()
                if (callable(v) or isinstance(v, types.ModuleType)) and k not in CHANGES_BY_ITSELF
            }
            self.names[label] = members
            for key, value in members.items():
                self._remember_code(f"{label}.{key}", getattr(value, "__wrapped__", value))
                if isinstance(value, type) and value.__module__.split(".")[0] in ("IPython", "ipykernel"):
                    classes.append(value)
        classes += [*type(shell).__mro__, *type(shell.kernel).__mro__]
        self.classes = {
            c: {k: v for k, v in vars(c).items() if callable(v) or isinstance(v, property)}
            for c in classes
            if c.__flags__ & (1 << 9)
        }  # those whose attributes can be set at all
        for c, members in self.classes.items():
            for key, value in members.items():
                self._remember_code(f"{c.__name__}.{key}", value)
        transformers = shell.input_transformer_manager
        self.lists = {
            "ast_transformers": shell.ast_transformers,
            "input_transformers_cleanup": transformers.cleanup_transforms,
            "input_line_transforms": transformers.line_transforms,
            "input_token_transformers": transformers.token_transformers,
            "input_transformers_post": shell.input_transformers_post,
        }
        self.items = {name: list(items) for name, items in self.lists.items()}
        self.holders = {
            "ast_transformers": (shell, "ast_transformers"),
            "input_transformers_post": (shell, "input_transformers_post"),
            "input_transformers_cleanup": (transformers, "cleanup_transforms"),
            "input_line_transforms": (transformers, "line_transforms"),
            "input_token_transformers": (transformers, "token_transformers"),
        }
        self.instances = {
            id(o): (o, {k: v for k, v in vars(o).items() if callable(v)})
            for o in (shell, shell.kernel, transformers, shell.displayhook, shell.compile)
        }
        self.transformer_manager = transformers
        self.callbacks = {event: list(calls) for event, calls in shell.events.callbacks.items()}

    def _remember_code(self, label: str, value: Any) -> None:
        if isinstance(value, types.FunctionType):
            self.code[id(value)] = (value, label, (value.__code__, value.__defaults__, value.__kwdefaults__))

    def restore(self) -> list[str]:
        """Put everything back; return the names of what had been changed."""
        changed = []
        for label, module in self.modules.items():
            if sys.modules.get(label) is not module:
                sys.modules[label] = module
                changed.append(f"sys.modules[{label!r}]")
            space = vars(module)
            for key, value in self.names[label].items():
                if space.get(key) is not value:
                    space[key] = value
                    changed.append(f"{label}.{key}")
        for value, label, parts in self.code.values():
            if (value.__code__, value.__defaults__, value.__kwdefaults__) != parts:
                value.__code__, value.__defaults__, value.__kwdefaults__ = parts
                changed.append(f"the code of {label}")
        for owner, members in self.classes.items():
            for key, value in members.items():
                if vars(owner).get(key) is not value:
                    type.__setattr__(owner, key, value)
                    changed.append(f"{owner.__name__}.{key}")
        for instance, members in self.instances.values():
            for key in [
                k
                for k, v in vars(instance).items()
                if callable(v) and k not in members and callable(getattr(type(instance), k, None))
            ]:
                del vars(instance)[key]
                changed.append(f"{type(instance).__name__}.{key}")
        if self.shell.input_transformer_manager is not self.transformer_manager:
            self.shell.input_transformer_manager = self.transformer_manager
            changed.append("input_transformer_manager")
        for name, items in self.items.items():
            holder, attribute = self.holders[name]
            if getattr(holder, attribute) is not self.lists[name] or self.lists[name] != items:
                self.lists[name][:] = items
                setattr(holder, attribute, self.lists[name])
                changed.append(f"IPython's {name}")
        for event, calls in self.shell.events.callbacks.items():
            extra = [
                c
                for c in calls
                if c not in self.callbacks.get(event, ())
                and (getattr(c, "__module__", "") or "").split(".")[0] not in ("matplotlib_inline", "matplotlib")
            ]
            for call in extra:
                calls.remove(call)
                changed.append(f"IPython's {event} callbacks")
        for kind, get, put in (("trace", sys.gettrace, sys.settrace), ("profile", sys.getprofile, sys.setprofile)):
            if get() is not None:
                put(None)
                changed.append(f"sys.set{kind}")
        return changed


@contextlib.contextmanager
def examination_room(shell: Any, given: dict[str, Any], keep: bool) -> Iterator[None]:
    """Run a locked cell with the student's names, but with pristine builtins and the instructors' own helpers.

    Names that a cell with keep=True defines count as the instructors' from then on.
    """
    student, module = shell.user_ns, shell.user_module
    room = types.ModuleType("__main__")
    room.__dict__.update({k: v for k, v in student.items() if not hasattr(builtins, k)})
    room.__dict__.update(given)
    room.__dict__["__builtins__"] = builtins
    before = dict(room.__dict__)
    shell.user_ns, shell.user_module = room.__dict__, room
    try:
        yield
    finally:
        shell.user_ns, shell.user_module = student, module
        new = {
            k: v for k, v in room.__dict__.items() if k != "__builtins__" and (k not in before or before[k] is not v)
        }
        student.update(new)
        if keep:
            given.update({k: v for k, v in new.items() if not k.startswith("_")})


def main(connection: str) -> None:
    """Serve one notebook over the connection file."""
    limit_resources()
    if not os.path.exists(connection):
        sys.exit("kernel.py: there is no connection file")
    nowhere = os.open(os.devnull, os.O_RDWR)  # what is printed past IPython does not reach the instructor's terminal
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    import numpy
    import numpy.linalg
    import numpy.random
    import numpy.testing  # noqa: F401
    from ipykernel.iostream import OutStream
    from ipykernel.ipkernel import IPythonKernel
    from ipykernel.kernelapp import IPKernelApp

    most = int(os.environ.get("LIMIT_OUTPUT", 200_000))

    class GradingKernel(IPythonKernel):
        """An IPython kernel that puts its own works in order before every cell."""

        guard: Guard | None = None
        given: ClassVar[dict[str, Any]] = {}
        written = 0

        async def do_execute(self, code: str, silent: bool, *args: Any, **kwargs: Any) -> Any:
            if self.guard is None:
                self.guard = Guard(self.shell)
            changed = self.guard.restore()
            type(self).written = 0
            role = (kwargs.get("cell_meta") or {}).get("normcore")
            if role:
                with examination_room(self.shell, self.given, keep=role == "given"):
                    reply = await super().do_execute(code, silent, *args, **kwargs)
            else:
                reply = await super().do_execute(code, silent, *args, **kwargs)
            reply["changed"] = changed
            reply["cut"] = type(self).written > most
            return reply

    write = OutStream.write

    def limited_write(self: OutStream, text: str) -> int | None:
        room = most - GradingKernel.written
        GradingKernel.written += len(text)
        if room > 0:
            write(self, text[:room] + ("" if len(text) <= room else "\n[output cut]\n"))
        return len(text)

    OutStream.write = limited_write
    sys.path[:] = [p for p in sys.path if p != os.path.dirname(os.path.abspath(__file__))]
    asyncio.set_event_loop(asyncio.new_event_loop())
    app = IPKernelApp.instance(kernel_class=GradingKernel, quiet=True)
    app.initialize(["-f", connection, "--HistoryManager.enabled=False"])
    app.start()


if __name__ == "__main__":
    main(sys.argv[1])

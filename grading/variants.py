"""Numbers of a student's own: drawn from a key of the course and the student's id, the same whenever they are drawn.

A cell `:variant: NAME` of a source draws them; see source.py. The student's notebook holds the numbers and nothing of
the key, and nobody without the key can say which numbers another student has.
"""

from __future__ import annotations

import ast
import hashlib
import hmac
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
PLAIN = (bool, int, float, str)


class Draw:
    """A stream of numbers that depends on its seed alone, and not on the version of Python or NumPy."""

    def __init__(self, seed: bytes) -> None:
        self.seed, self.count = seed, 0

    def integer(self, low: int, high: int) -> int:
        """An integer from low to high, both included."""
        if low > high:
            raise ValueError(f"no integer from {low} to {high}")
        self.count += 1
        digest = hashlib.sha256(self.seed + self.count.to_bytes(8, "big")).digest()
        return low + int.from_bytes(digest, "big") % (high - low + 1)

    def choice(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.integer(0, len(options) - 1)]


def seed_of(key: bytes, assignment: str, student: str) -> bytes:
    """What a student's numbers in an assignment are drawn from; without a key the same for everybody."""
    return hmac.new(key, f"{assignment}\0{student}".encode(), hashlib.sha256).digest() if key else b""


def drawn(code: str, seed: bytes) -> str:
    """What stands in the student's cell: the comments above the drawing code, and each name with its value."""
    space: dict[str, Any] = {"draw": Draw(seed)}
    exec(compile(code, "<variant>", "exec"), space)
    head = []
    for line in code.strip().splitlines():
        if not line.startswith("#"):
            break
        head.append(line)
    names = [t.id for node in ast.parse(code).body for t in getattr(node, "targets", []) if isinstance(t, ast.Name)]
    for name in names:
        if not _plain(space[name]):
            raise ValueError(f"{name} is {space[name]!r}: a variant draws numbers, texts, and lists or tuples of them")
    if not names:
        raise ValueError("a variant draws nothing: it needs lines such as batch = draw.integer(2, 8)")
    return "\n".join([*head, *(f"{name} = {space[name]!r}" for name in dict.fromkeys(names))])


def _plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or (isinstance(value, list | tuple) and all(map(_plain, value)))


def key_of_course(path: Path, make: bool = False) -> bytes:
    """The course's key, made if told to, or nothing if there is none.

    Its file can be read by its owner alone, or in the folder of a group, as on a hub, by the group.
    """
    if make and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shared = path.parent.stat().st_mode & stat.S_ISGID
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640 if shared else 0o600)
        with open(number, "w") as file:
            file.write(secrets.token_hex(32) + "\n")
    return bytes.fromhex(path.read_text().strip()) if path.exists() else b""

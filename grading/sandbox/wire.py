"""Values on the wire: a JSON tree and, beside it, the bytes of its arrays. No part can name code, a type or a file.

Both processes use this file. Only the examiner's copy counts: a student's code can replace the other one.
"""

from __future__ import annotations

import io
import json
import math
import socket
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

MOST_TREE, MOST_DATA, MOST_DEPTH = 4_000_000, 50_000_000, 20
DTYPES = ("|b1", "|i1", "|u1", *(f"<{k}" for k in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8")))
HEAD = struct.Struct("!IQ")


class Refused(Exception):
    """A value or a message that does not go over the wire."""


class Packer:
    """Turns values into a tree and bytes; keeps the arrays and the functions that it met, in order."""

    def __init__(self) -> None:
        self.data: list[bytes] = []
        self.size = 0
        self.arrays: list[np.ndarray] = []
        self.functions: list[Callable[..., Any]] = []

    def pack(self, value: Any, depth: int = 0) -> Any:
        """The tree of a value; its arrays' bytes are added to data."""
        if depth > MOST_DEPTH:
            raise Refused("the value is nested too deeply")
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, np.ndarray | np.generic):
            return self._array(value)
        if isinstance(value, int | float):
            return value
        if isinstance(value, tuple | list):
            return {"tuple" if isinstance(value, tuple) else "list": [self.pack(v, depth + 1) for v in value]}
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {"dict": [[key, self.pack(v, depth + 1)] for key, v in value.items()]}
        if hasattr(value, "__array__"):  # a tensor, a column of a table
            return self._array(np.asarray(value.detach() if hasattr(value, "detach") else value))
        if callable(value):
            self.functions.append(value)
            return {"function": len(self.functions) - 1}
        raise Refused(f"a value of type {type(value).__name__} is neither a number nor an array")

    def _array(self, value: Any) -> Any:
        dtype = np.dtype("f8") if value.dtype == np.longdouble else value.dtype.newbyteorder("<")
        self.size += value.nbytes
        if dtype.str not in DTYPES or self.size > MOST_DATA:
            raise Refused(f"an array of {value.nbytes} bytes and dtype {value.dtype} is not allowed")
        plain = np.array(value, dtype=dtype, order="C", subok=False)
        self.data.append(plain.tobytes())
        if isinstance(value, np.ndarray):
            self.arrays.append(value)
        return {"array": [plain.dtype.str, list(plain.shape), isinstance(value, np.generic)]}


class Unpacker:
    """Builds fresh plain values from a tree and bytes; callback(number) makes the functions, if there may be any."""

    def __init__(self, data: bytes, callback: Callable[[int], Callable[..., Any]] | None = None) -> None:
        self.data, self.callback = io.BytesIO(data), callback
        self.arrays: list[np.ndarray] = []

    def unpack(self, tree: Any, depth: int = 0) -> Any:
        """The value of a tree, or Refused."""
        match tree:
            case _ if depth > MOST_DEPTH:
                raise Refused("the value is nested too deeply")
            case None | bool() | int() | float() | str():
                return tree
            case {"tuple": [*items], **rest} if not rest:
                return tuple(self.unpack(v, depth + 1) for v in items)
            case {"list": [*items], **rest} if not rest:
                return [self.unpack(v, depth + 1) for v in items]
            case {"dict": [*items], **rest} if not rest:
                return {key: self.unpack(v, depth + 1) for key, v in map(_entry, items)}
            case {"function": int(number), **rest} if self.callback and not rest:
                return self.callback(number)
            case {"array": [str(dtype), [*shape], bool(scalar)], **rest} if dtype in DTYPES and not rest:
                return self._array(dtype, shape, scalar)
        raise Refused("not a value")

    def _array(self, dtype: str, shape: list[Any], scalar: bool) -> Any:
        if len(shape) > 32 or not all(type(n) is int and 0 <= n <= MOST_DATA for n in shape):
            raise Refused("not a shape")
        size = math.prod(shape) * np.dtype(dtype).itemsize
        raw = self.data.read(size) if size <= MOST_DATA else b""
        if len(raw) != size:
            raise Refused("the bytes do not fit the shape")
        array = np.ndarray(shape, dtype, buffer=raw or b"\0" * 8).copy()
        if dtype == "|b1":  # any byte may have come; only 0 and 1 are booleans
            array = array.view("u1") != 0
        if scalar and not shape:
            return array[()]
        self.arrays.append(array)
        return array


def _entry(item: Any) -> tuple[str, Any]:
    match item:
        case [str(key), value]:
            return key, value
    raise Refused("not an entry")


def send(channel: socket.socket, tree: Any, data: Iterable[bytes] = (), deadline: float = math.inf) -> None:
    """Send one message; who does not take it in time gets TimeoutError."""
    text, raw = json.dumps(tree).encode(), b"".join(data)
    channel.settimeout(None if deadline == math.inf else max(deadline - time.monotonic(), 1e-3))
    channel.sendall(HEAD.pack(len(text), len(raw)) + text + raw)


def receive(channel: socket.socket, deadline: float = math.inf) -> tuple[Any, bytes]:
    """Return (tree, data) of one message; whatever arrives, this ends by the deadline and in bounded memory."""

    def read(size: int) -> bytes:
        buffer = bytearray()
        while len(buffer) < size:  # grows with what came, not with what was announced
            if deadline < math.inf:  # a limit for the whole message, not for each piece
                if time.monotonic() > deadline:
                    raise TimeoutError
                channel.settimeout(max(deadline - time.monotonic(), 1e-3))
            else:
                channel.settimeout(None)
            if not (piece := channel.recv(min(size - len(buffer), 1 << 20))):
                raise EOFError("the other process ended")
            buffer += piece
        return bytes(buffer)

    tree, data = HEAD.unpack(read(HEAD.size))
    if tree > MOST_TREE or data > MOST_DATA:
        raise Refused("the message is too large")  # no number: it would be the student's to choose
    return json.loads(read(tree)), read(data)

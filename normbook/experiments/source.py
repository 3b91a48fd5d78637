"""Where shipped numbers come from: the hashes that tell whether code and data are still those that made them."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import sys
from pathlib import Path

from normbook.data import FASHION_FILES, FASHION_SHA256, digits


@functools.cache
def code(file: str | Path) -> str:
    """SHA-256 of a program; its comments and docstrings do not count."""
    tree = ast.parse(Path(file).read_text("utf8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
    text = ast.dump(tree, **({"show_empty": True} if sys.version_info >= (3, 13) else {}))
    text = text.replace(", type_params=[]", "")  # Python 3.12 writes them
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def data() -> str:
    """SHA-256 of the images: the digits, and the files of Fashion-MNIST with what is shipped of them."""
    images, labels = digits()
    found = hashlib.sha256(images.tobytes() + labels.tobytes())
    found.update(json.dumps([FASHION_SHA256, FASHION_FILES]).encode())
    return found.hexdigest()


__all__ = ["code", "data"]

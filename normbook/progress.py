"""A progress bar for somebody who waits, and nothing in a page that nobody waits for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], label: str = "") -> Iterable[T]:
    """Iterate over ``items``, with a bar when it takes longer than two seconds.

    No bar while the book is built (``NORMCORE_BOOK`` is set then) or where tqdm is not installed.
    """
    if os.environ.get("NORMCORE_BOOK"):
        return items
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return items
    if sys.platform == "emscripten":
        tqdm.monitor_interval = 0  # the monitor is a thread, and a browser's Python has none
    return tqdm(items, desc=label, delay=2, leave=False)  # type: ignore[no-any-return]

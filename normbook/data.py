"""Data for the experiments, without a download.

The handwritten digits and the two photos are real; they come with scikit-learn.  The used cars are made up, by the
formula printed in :func:`used_cars`, because a tutorial's example needs prices that nobody has to license.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Cars(NamedTuple):
    """Used cars: ``distance`` in km, ``age`` in years, ``price`` in euros, each of shape (n,)."""

    distance: Array
    age: Array
    price: Array


def used_cars(n: int = 200, seed: int = 0) -> Cars:
    """Synthetic used cars, the same ones for the same seed.

    age ~ U(1, 15) years; distance = 12 000 km a year × age × U(0.4, 1.6), at least 5 000 km;
    price = 31 000 − 0.06 · distance − 700 · age + N(0, 1 000²) euros.

    >>> cars = used_cars(3)
    >>> cars.age.round(1).tolist()
    [9.9, 4.8, 1.6]
    """
    if n < 1:
        raise ValueError(f"n = {n} cars: want at least 1")
    random = np.random.default_rng(seed)
    age = random.uniform(1, 15, n)
    distance = np.maximum(5_000.0, 12_000 * age * random.uniform(0.4, 1.6, n))
    price = 31_000 - 0.06 * distance - 700 * age + random.normal(0, 1_000, n)
    return Cars(distance, age, price)


class Digits(NamedTuple):
    """Handwritten digits: ``images`` (n, 1, 8, 8) in [0, 1] and ``labels`` (n,) in 0…9."""

    images: Array
    labels: npt.NDArray[np.int64]


def digits() -> Digits:
    """The 1797 handwritten digits that scikit-learn carries: 8×8 pixels with 17 levels of gray.

    Source: E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository,
    1998.

    >>> images, labels = digits()
    >>> images.shape, float(images.max()), labels[:5].tolist()
    ((1797, 1, 8, 8), 1.0, [0, 1, 2, 3, 4])
    """
    table = np.loadtxt(_file("data/digits.csv.gz"), delimiter=",")  # (1797, 65): the pixels, then the label
    return Digits(table[:, :64].reshape(-1, 1, 8, 8) / 16.0, table[:, 64].astype(np.int64))


def photo(name: str = "china", height: int = 128) -> Array:
    """A photo that scikit-learn carries, ``"china"`` (a palace) or ``"flower"``, as (3, height, width) in [0, 1].

    The photo is made smaller by averaging equal tiles of pixels, so ``height`` must be between 1 and 427; the width
    keeps the photo's proportions (640 : 427).

    >>> photo("flower", height=64).shape
    (3, 64, 96)
    """
    if name not in ("china", "flower"):
        raise ValueError(f"no photo {name!r}: want 'china' or 'flower'")
    if not 1 <= height <= 427:
        raise ValueError(f"height = {height} pixels: want 1 to 427")
    from PIL import Image  # comes with Matplotlib

    with Image.open(_file(f"images/{name}.jpg")) as image:
        pixels = np.asarray(image, dtype=np.float64) / 255
    width = round(height * 640 / 427)
    return _tiles(_tiles(pixels, 0, height), 1, width).transpose(2, 0, 1)


def patches(size: int, n: int = 1797, seed: int = 0) -> Array:
    """Square patches in gray, cut at random from the two photos at half their size: (n, 1, size, size) in [0, 1].

    >>> patches(8, n=3).shape
    (3, 1, 8, 8)
    """
    if not 1 <= size <= 213:
        raise ValueError(f"size = {size} pixels: want 1 to 213, the height of the photos")
    photos = np.stack([photo(name, height=213).mean(axis=0) for name in ("china", "flower")])
    random = np.random.default_rng(seed)
    which, top, left = (random.integers(end, size=n) for end in (2, 214 - size, photos.shape[2] - size + 1))
    window = np.arange(size)
    rows, columns = top[:, None] + window, left[:, None] + window
    cut: Array = photos[which[:, None, None], rows[:, :, None], columns[:, None]]
    return cut[:, None]


def _file(path: str) -> Path:
    """A data file of scikit-learn, or its copy in this package's wheel where scikit-learn is not installed.

    scikit-learn itself is never imported: that takes a second, and it does not run in every browser.
    """
    found = importlib.util.find_spec("sklearn")
    folders = [Path(folder) / "datasets" for folder in (found and found.submodule_search_locations) or []]
    for folder in (*folders, Path(__file__).parent / "_data"):
        if (folder / path).exists():
            return folder / path
    raise ModuleNotFoundError("the digits and the photos come with scikit-learn: pip install scikit-learn")


def _tiles(pixels: Array, axis: int, count: int) -> Array:
    """Averages of ``count`` nearly equal stretches along ``axis``."""
    edges = np.linspace(0, pixels.shape[axis], count + 1).astype(int)
    total = np.add.reduceat(pixels, edges[:-1], axis=axis)
    shape = [1] * pixels.ndim
    shape[axis] = count
    averages: Array = total / np.diff(edges).reshape(shape)
    return averages

"""Data for the experiments, without a download.

The handwritten digits, the wines and the two photos are real; they come with scikit-learn.  So are the pictures of
clothes of Fashion-MNIST, of which a part comes with this package, made small; the command ``python -m normbook.data``
makes that part anew from the originals.  The used cars are made up, by the formula printed in :func:`used_cars`,
because a tutorial's example needs prices that nobody has to license.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

#: The part of Fashion-MNIST that comes with this package, and the SHA-256 of the file.
FASHION = Path(__file__).with_name("fashion-14x14.npz")
FASHION_SHA256 = "37130db7ed5d52bd3fe63538f3387f03cf926ae90b3cce224368c764eaad005c"
#: What the labels 0 to 9 of Fashion-MNIST mean.
FASHION_NAMES = (
    "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
#: The official address of Fashion-MNIST, and its files: SHA-256 as they lie there, and unpacked.
FASHION_ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_FILES = {
    "train-images-idx3-ubyte.gz": (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    "train-labels-idx1-ubyte.gz": (
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    "t10k-images-idx3-ubyte.gz": (
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
#: Where Debian's package ``dataset-fashion-mnist`` puts the same files, packed by another program.
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


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


class Wine(NamedTuple):
    """Wines: ``features`` (178, 13), each measured in a unit of its own, and ``kinds`` (178,), the grower 0, 1 or 2."""

    features: Array
    kinds: npt.NDArray[np.int64]


def wine() -> Wine:
    """The 178 wines of three growers that scikit-learn carries, with 13 chemical measurements each.

    Source: S. Aeberhard and M. Forina, *Wine*, UCI Machine Learning Repository, 1992.

    >>> features, kinds = wine()
    >>> features.shape, np.bincount(kinds).tolist(), float(features[:, 12].max())
    ((178, 13), [59, 71, 48], 1680.0)
    """
    table = np.loadtxt(_file("data/wine_data.csv"), delimiter=",", skiprows=1)
    return Wine(table[:, :13], table[:, 13].astype(np.int64))


class Labeled(NamedTuple):
    """Gray ``images`` (n, 1, height, width) in [0, 1] and their ``labels`` (n,) in 0…9."""

    images: Array
    labels: npt.NDArray[np.int64]


def digits() -> Labeled:
    """The 1797 handwritten digits that scikit-learn carries: 8×8 pixels with 17 levels of gray.

    Source: E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository,
    1998.

    >>> images, labels = digits()
    >>> images.shape, float(images.max()), labels[:5].tolist()
    ((1797, 1, 8, 8), 1.0, [0, 1, 2, 3, 4])
    """
    table = np.loadtxt(_file("data/digits.csv.gz"), delimiter=",")  # (1797, 65): the pixels, then the label
    return Labeled(table[:, :64].reshape(-1, 1, 8, 8) / 16.0, table[:, 64].astype(np.int64))


class Fashion(NamedTuple):
    """Fashion-MNIST in parts: 6,400 images to train with, 1,000 to choose rates with, 2,000 for the test."""

    train: Labeled
    validation: Labeled
    test: Labeled


def fashion() -> Fashion:
    """Clothes in ten classes (:data:`FASHION_NAMES`): 9,400 images of Fashion-MNIST, averaged to 14×14 pixels.

    The first 7,400 of the original's training images, split into 6,400 and 1,000, and the first 2,000 of its test
    images; each pixel is the mean of 2×2, rounded to 256 levels of gray.  The file comes with this package (MIT
    license, © 2017 Zalando SE); ``python -m normbook.data`` makes it from the originals.

    Source: H. Xiao, K. Rasul, R. Vollgraf, *Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms*, arXiv:1708.07747 (2017).

    >>> train, validation, test = fashion()
    >>> train.images.shape, len(validation.labels), FASHION_NAMES[test.labels[0]]
    ((6400, 1, 14, 14), 1000, 'ankle boot')
    """
    packed = FASHION.read_bytes()
    _check_sha256(packed, FASHION_SHA256, FASHION.name)
    with np.load(io.BytesIO(packed)) as saved:
        images, labels = saved["images"] / 255.0, saved["labels"].astype(np.int64)
    ends = np.cumsum([0, 6400, 1000, 2000])
    return Fashion(*(Labeled(images[a:b], labels[a:b]) for a, b in itertools.pairwise(ends)))


def fashion_originals() -> tuple[tuple[Bytes, Bytes], tuple[Bytes, Bytes]]:
    """All of Fashion-MNIST: ((images, labels) of the 60,000 for training, the same of the 10,000 for the test).

    Images are (n, 1, 28, 28) and labels (n,), both of type uint8.  The files are taken from the first of these that
    has them: the reader's cache (pooch's, named normcore), Debian's package ``dataset-fashion-mnist``, the official
    address.  Each file is checked by its SHA-256.  Needs pooch.  Where the originals cannot be had it raises
    ``FileNotFoundError`` with one sentence that says what to do.
    """

    def read(kind: str) -> tuple[Bytes, Bytes]:
        images = np.frombuffer(_original(f"{kind}-images-idx3-ubyte.gz"), np.uint8, offset=16)
        labels = np.frombuffer(_original(f"{kind}-labels-idx1-ubyte.gz"), np.uint8, offset=8)
        return images.reshape(-1, 1, 28, 28), labels

    return read("train"), read("t10k")


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


def _original(name: str) -> bytes:
    """The unpacked bytes of a file of Fashion-MNIST, from cache, Debian's package or the official address."""
    try:
        import pooch
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("the originals of Fashion-MNIST are fetched by pooch: pip install pooch") from error

    there, unpacked = FASHION_FILES[name]
    cache = pooch.create(pooch.os_cache("normcore"), FASHION_ADDRESS, registry={name: f"sha256:{there}"})
    if not (cache.abspath / name).exists() and (DEBIAN / name).exists():
        found = DEBIAN / name
    else:
        try:
            found = Path(cache.fetch(name))
        except (OSError, ValueError) as error:  # no connection, or not the bytes that were asked for
            raise FileNotFoundError(
                f"{name} of Fashion-MNIST is not in {cache.abspath}, and {FASHION_ADDRESS} did not give it: connect to "
                "the internet once, or install Debian's package dataset-fashion-mnist"
            ) from error
    data = gzip.decompress(found.read_bytes())
    _check_sha256(data, unpacked, str(found))
    return data


def _check_sha256(data: bytes, wanted: str, name: str) -> None:
    """``ValueError`` if these are not the bytes that are wanted."""
    if hashlib.sha256(data).hexdigest() != wanted:
        raise ValueError(f"{name} is damaged: its SHA-256 is not {wanted}; delete it and get it again")


def _shrink(images: Bytes) -> Bytes:
    """Means of 2×2 pixels, rounded: (n, 1, 28, 28) → (n, 1, 14, 14)."""
    means = images.reshape(-1, 1, 14, 2, 14, 2).mean(axis=(3, 5))
    small: Bytes = np.round(means).astype(np.uint8)
    return small


def make_fashion(file: Path = FASHION) -> None:
    """Write the part of Fashion-MNIST that comes with the package, from the originals, and print its SHA-256."""
    (images, labels), (new_images, new_labels) = fashion_originals()
    small = np.concatenate([_shrink(images[:7400]), _shrink(new_images[:2000])])
    np.savez_compressed(file, images=small, labels=np.concatenate([labels[:7400], new_labels[:2000]]))
    print(file.name, hashlib.sha256(file.read_bytes()).hexdigest())


def _file(path: str) -> Path:
    """A data file of scikit-learn, or its copy in this package's wheel where scikit-learn is not installed.

    scikit-learn itself is never imported: that takes a second, and it does not run in every browser.
    """
    found = importlib.util.find_spec("sklearn")
    folders = [Path(folder) / "datasets" for folder in (found and found.submodule_search_locations) or []]
    for folder in (*folders, Path(__file__).parent / "_data"):
        if (folder / path).exists():
            return folder / path
    raise ModuleNotFoundError("the digits, wines and photos come with scikit-learn: pip install scikit-learn")


def _tiles(pixels: Array, axis: int, count: int) -> Array:
    """Averages of ``count`` nearly equal stretches along ``axis``."""
    edges = np.linspace(0, pixels.shape[axis], count + 1).astype(int)
    total = np.add.reduceat(pixels, edges[:-1], axis=axis)
    shape = [1] * pixels.ndim
    shape[axis] = count
    averages: Array = total / np.diff(edges).reshape(shape)
    return averages


if __name__ == "__main__":
    make_fashion()

import gzip
import hashlib
import shutil
import sys

import numpy as np
import pytest

from normbook import data
from normbook.data import digits, fashion, fashion_originals, patches, photo, used_cars, wine


def test_cars_follow_their_formula():
    cars = used_cars(20_000, seed=1)
    design = np.column_stack([np.ones(20_000), cars.distance, cars.age])
    constant, per_km, per_year = np.linalg.lstsq(design, cars.price)[0]
    assert constant == pytest.approx(31_000, abs=50)
    assert per_km == pytest.approx(-0.06, abs=0.001)
    assert per_year == pytest.approx(-700, abs=15)
    assert (cars.price - design @ [31_000, -0.06, -700]).std() == pytest.approx(1_000, rel=0.02)


def test_the_book_s_cars_have_prices_that_somebody_could_pay():
    cars = used_cars()
    assert cars.price.min() > 500
    assert cars.distance.min() >= 5_000 and cars.age.min() >= 1 and cars.age.max() <= 15


def test_the_same_seed_gives_the_same_cars():
    assert all(map(np.array_equal, used_cars(50, seed=3), used_cars(50, seed=3)))
    assert not np.array_equal(used_cars(50, seed=3).price, used_cars(50, seed=4).price)


def test_no_cars_is_an_error():
    with pytest.raises(ValueError, match="n = 0 cars"):
        used_cars(0)


def test_digits_are_the_real_ones():
    images, labels = digits()
    assert images.shape == (1797, 1, 8, 8) and images.dtype == np.float64
    assert images.min() == 0 and images.max() == 1 and np.array_equal(images * 16, np.round(images * 16))
    assert np.array_equal(np.bincount(labels), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])


def test_wines_are_those_of_scikit_learn():
    from sklearn.datasets import load_wine

    theirs = load_wine()
    np.testing.assert_array_equal(wine().features, theirs.data)
    np.testing.assert_array_equal(wine().kinds, theirs.target)


@pytest.mark.parametrize("height, width", [(427, 640), (128, 192), (64, 96), (1, 1)])
def test_a_photo_keeps_its_proportions_and_its_mean(height, width):
    small = photo("flower", height)
    assert small.shape == (3, height, width)
    # equal tiles keep the mean; nearly equal ones change it by what their sizes differ
    assert np.allclose(small.mean(axis=(1, 2)), photo("flower", 427).mean(axis=(1, 2)), atol=2e-3)


def test_a_full_size_photo_is_the_file_s_pixels():
    from sklearn.datasets import load_sample_image

    assert np.array_equal(np.round(photo("china", 427) * 255), load_sample_image("china.jpg").transpose(2, 0, 1))


@pytest.mark.parametrize(
    "name, height, message", [("cat", 64, "no photo 'cat'"), ("china", 0, "height = 0"), ("china", 428, "428")]
)
def test_wrong_photos_are_named(name, height, message):
    with pytest.raises(ValueError, match=message):
        photo(name, height)


def test_patches_are_cut_from_the_photos():
    cut = patches(8, n=40, seed=2)
    photos = [photo(name, height=213).mean(axis=0) for name in ("china", "flower")]
    windows = [np.lib.stride_tricks.sliding_window_view(p, (8, 8)) for p in photos]
    for patch in cut[:, 0]:
        assert any((w[..., 0, 0] == patch[0, 0]).any() and (w == patch).all(axis=(-1, -2)).any() for w in windows)


def test_patches_come_from_everywhere_and_repeat_with_their_seed():
    whole = patches(213, n=200)
    assert len(np.unique(whole[:, 0, 0, 0])) > 100
    assert np.array_equal(patches(5, n=4, seed=1), patches(5, n=4, seed=1))


@pytest.mark.parametrize("size", [0, 214])
def test_patches_larger_than_a_photo_are_refused(size):
    with pytest.raises(ValueError, match=f"size = {size} pixels"):
        patches(size)


@pytest.fixture
def originals():
    """The originals, where they can be had without a download: in the cache or from Debian's package."""
    pooch = pytest.importorskip("pooch")
    folders = pooch.os_cache("normcore"), data.DEBIAN
    if not all(any((folder / name).exists() for folder in folders) for name in data.FASHION_FILES):
        pytest.skip("neither the cache nor Debian's package dataset-fashion-mnist has the originals")
    return fashion_originals()


def test_fashion_comes_in_three_parts_of_ten_classes():
    parts = fashion()
    assert [len(part.labels) for part in parts] == [6400, 1000, 2000]
    for images, labels in parts:
        assert images.shape == (len(labels), 1, 14, 14) and images.dtype == np.float64
        assert images.min() == 0 and 0.99 < images.max() <= 1
        assert np.array_equal(images * 255, np.round(images * 255))
        assert np.bincount(labels, minlength=10).min() > 0.08 * len(labels) and labels.dtype == np.int64
    assert len(data.FASHION_NAMES) == 10 and data.FASHION_NAMES[9] == "ankle boot"


def test_fashion_is_the_originals_made_smaller(originals, tmp_path, capsys):
    """Pixel by pixel, without the code that made the file; then the file itself, made anew."""
    (images, labels), (new_images, new_labels) = originals
    assert (images.shape, new_images.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert np.bincount(labels).tolist() == [6000] * 10 and np.bincount(new_labels).tolist() == [1000] * 10
    ours = fashion()
    first = np.concatenate([ours.train.images, ours.validation.images]), images
    for small, large in (first, (ours.test.images, new_images)):
        large = large[: len(small)].astype(float)
        means = sum(large[..., i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
        assert np.abs(small * 255 - means).max() <= 0.5 + 1e-9
    np.testing.assert_array_equal(np.concatenate([ours.train.labels, ours.validation.labels]), labels[:7400])
    np.testing.assert_array_equal(ours.test.labels, new_labels[:2000])

    data.make_fashion(tmp_path / "again.npz")
    assert capsys.readouterr().out.startswith("again.npz ")
    with np.load(tmp_path / "again.npz") as again, np.load(data.FASHION) as shipped:
        for name in ("images", "labels"):
            np.testing.assert_array_equal(again[name], shipped[name])


def test_the_shipped_file_is_the_one_whose_hash_the_package_knows(tmp_path, monkeypatch):
    assert hashlib.sha256(data.FASHION.read_bytes()).hexdigest() == data.FASHION_SHA256
    damaged = bytearray(data.FASHION.read_bytes())
    damaged[5000] ^= 1
    monkeypatch.setattr(data, "FASHION", tmp_path / "fashion-14x14.npz")
    data.FASHION.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"fashion-14x14.npz is damaged: its SHA-256 is not 3713.*delete it"):
        fashion()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A small file of the same kind in place of a file of Fashion-MNIST, an empty cache, and nobody who answers."""
    pooch = pytest.importorskip("pooch")
    content = bytes(range(200))
    packed = gzip.compress(content)
    name = "t10k-labels-idx1-ubyte.gz"
    hashes = hashlib.sha256(packed).hexdigest(), hashlib.sha256(content).hexdigest()
    monkeypatch.setitem(data.FASHION_FILES, name, hashes)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    monkeypatch.setattr(data, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(data, "FASHION_ADDRESS", "http://127.0.0.1:9/")
    for folder in ("normcore", "debian", "server"):
        (tmp_path / folder).mkdir()
    return name, packed, content


def test_an_original_comes_from_the_cache_first_then_from_debian_then_from_its_address(place, tmp_path, monkeypatch):
    import http.server
    import threading

    name, packed, content = place

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(tmp_path / "server"))

        def log_message(self, *args):
            pass

    (tmp_path / "server" / name).write_bytes(packed)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(data, "FASHION_ADDRESS", f"http://127.0.0.1:{server.server_address[1]}/")
        assert data._original(name) == content
        server.shutdown()
    assert (tmp_path / "normcore" / name).read_bytes() == packed  # kept, and now enough
    assert data._original(name) == content

    shutil.rmtree(tmp_path / "normcore")
    (tmp_path / "debian" / name).write_bytes(gzip.compress(content, 1))  # other bytes, the same content
    assert data._original(name) == content
    (tmp_path / "debian" / name).write_bytes(gzip.compress(content[:-1]))
    with pytest.raises(ValueError, match=r"debian.*is damaged"):
        data._original(name)


def test_without_pooch_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert len(fashion().train.labels) == 6400  # what comes with the package needs no pooch
    with pytest.raises(ModuleNotFoundError, match="pip install pooch"):
        fashion_originals()


def test_an_absent_original_is_one_clear_sentence(place):
    with pytest.raises(FileNotFoundError) as raised:
        data._original(place[0])
    said = str(raised.value)
    assert said.startswith("t10k-labels-idx1-ubyte.gz of Fashion-MNIST is not in ") and "\n" not in said
    assert said.endswith("connect to the internet once, or install Debian's package dataset-fashion-mnist")

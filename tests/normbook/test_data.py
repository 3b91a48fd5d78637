import numpy as np
import pytest

from normbook.data import digits, patches, photo, used_cars


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

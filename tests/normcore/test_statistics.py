"""Running averages, population statistics and the laws of their errors: by hand, against NumPy, and by simulation."""

import numpy as np
import pytest

import normcore as nc
from normcore import statistics as st


def test_average_step():
    assert st.average_step(2.0, 10.0, 0.25) == 4
    np.testing.assert_array_equal(st.average_step([0.0, 1.0], [4.0, 5.0], 0.5), [2, 3])
    assert st.average_step(2, 10, 0) == 2
    assert st.average_step(2, 10, 1) == 10
    assert st.average_step(np.float32(1), np.float32(2), np.float32(0.5)).dtype == np.float64


def test_exponential_average():
    values = np.random.default_rng(0).normal(size=(20, 3))
    averages = st.exponential_average(values, 0.3, start=5.0)
    assert averages.shape == (20, 3)
    weights = st.exponential_weights(0.3, 20)
    np.testing.assert_allclose(averages[-1], weights @ values[::-1] + 5 * 0.7**20, rtol=1e-13)
    np.testing.assert_allclose(averages[0], 0.7 * 5 + 0.3 * values[0], rtol=1e-15)
    np.testing.assert_allclose(weights.sum(), 1 - 0.7**20, rtol=1e-14)
    assert st.exponential_average([1.0]).tolist() == [0.1]
    assert st.exponential_average([], 0.5).shape == (0,)


def test_cumulative_average():
    values = np.random.default_rng(0).normal(size=(20, 3))
    expected = [values[: t + 1].mean(0) for t in range(20)]
    np.testing.assert_allclose(st.cumulative_average(values), expected, rtol=1e-13)


@pytest.mark.parametrize("momentum", [None, 0.1])
def test_layers_use_these_averages(momentum):
    xs = np.random.default_rng(0).normal(size=(6, 8, 2, 5))
    layer = nc.BatchNorm(2, momentum=momentum, dtype=np.float64)
    for x in xs:
        layer(x)
    means, variances = xs.mean((1, 3)), st.unbiased(xs.var((1, 3)), 40)
    if momentum is None:
        expected = st.cumulative_average(means)[-1], st.cumulative_average(variances)[-1]
    else:
        expected = st.exponential_average(means)[-1], st.exponential_average(variances, start=1)[-1]
    np.testing.assert_allclose((layer.running_mean, layer.running_var), expected, rtol=1e-13)


def test_unbiased():
    x = np.random.default_rng(0).normal(size=7)
    np.testing.assert_allclose(st.unbiased(x.var(), 7), x.var(ddof=1), rtol=1e-15)
    assert st.unbiased([1.0, 2.0], 2).tolist() == [2, 4]


@pytest.mark.parametrize("sizes", [(10,), (1, 9), (3, 0, 3, 4), (1,) * 10])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_population_is_exact_whatever_the_batches(sizes, dtype):
    x = (1e3 + np.random.default_rng(0).normal(size=(10, 3, 4, 2))).astype(dtype)
    batches = np.split(x, np.cumsum(sizes)[:-1])
    mean, var, size = st.population_statistics(batches)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean((0, 2, 3)), rtol=1e-14)
    np.testing.assert_allclose(var, wide.var((0, 2, 3)), rtol=1e-12)
    assert size == 80
    assert type(size) is int
    assert mean.dtype == var.dtype == np.float64


def test_population_of_a_generator_of_different_shapes():
    x = np.random.default_rng(0).normal(size=(4, 3))
    mean, var, size = st.population_statistics(b for b in (x[:1], x[1:, :, None]))
    np.testing.assert_allclose((mean, var), (x.mean(0), x.var(0)), rtol=1e-14)
    assert size == 4


def test_standard_errors_by_hand():
    assert st.standard_error_of_mean(6.0, 9) == 2
    np.testing.assert_allclose(st.standard_error_of_mean([1.0, 2.0], [4, 16]), [0.5, 0.5])
    np.testing.assert_allclose(st.standard_error_of_variance(3.0, 3), 2.0)  # 3 * 2/3 * sqrt(2/2)
    np.testing.assert_allclose(st.standard_error_of_variance(2.0, 2, -2.0), 1.0)  # 2 * 1/2 * sqrt(2 - 1)
    np.testing.assert_allclose(st.standard_error_of_variance(4.0, 4, 8.0), 3 * np.sqrt(2 / 3 + 2))


@pytest.mark.parametrize(("draw", "std", "kurtosis"), [
    (lambda r, s: r.normal(size=s), 1, 0),
    (lambda r, s: r.uniform(-1, 1, s), 3**-0.5, -1.2),
    (lambda r, s: r.exponential(size=s), 1, 6),
])  # fmt: skip
@pytest.mark.parametrize("count", [2, 5, 40])
def test_laws_hold_in_simulation(draw, std, kurtosis, count):
    x = draw(np.random.default_rng(0), (200_000, count))
    spread = x.mean(1).std()
    assert abs(spread / st.standard_error_of_mean(std, count) - 1) < 0.01
    spread = x.var(1).std()
    assert abs(spread / st.standard_error_of_variance(std**2, count, kurtosis) - 1) < 0.03


def test_excess_kurtosis():
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(size=(1000, 50)), rng.uniform(size=(1000, 50)), rng.laplace(size=(1000, 50))], 1)
    np.testing.assert_allclose(st.excess_kurtosis(x), [0, -1.2, 3], atol=0.25)
    assert st.excess_kurtosis(np.array([[[0.0, 0, 0, 4]]])).round(12).tolist() == [-0.666666666667]  # 21/9 - 3
    assert np.isnan(st.excess_kurtosis(np.ones((3, 1)))).all()


def test_effective_sample_size():
    rng = np.random.default_rng(0)
    independent = rng.normal(size=(4000, 2, 5, 5))
    np.testing.assert_allclose(st.effective_sample_size(independent) / independent[:, 0].size, 1, atol=0.05)
    same = np.broadcast_to(rng.normal(size=(50, 2, 1)), (50, 2, 9))
    np.testing.assert_allclose(st.effective_sample_size(same), 50)
    # equally correlated positions, r = 0.3: N L / (1 + (L - 1) r)
    shared, own = rng.normal(size=(20000, 1, 1)), rng.normal(size=(20000, 1, 10))
    x = np.sqrt(0.3) * shared + np.sqrt(0.7) * own
    np.testing.assert_allclose(st.effective_sample_size(x), 20000 * 10 / (1 + 9 * 0.3), rtol=0.03)
    np.testing.assert_allclose(st.effective_sample_size(x[..., 0]), 20000)


def test_effective_sample_size_by_hand():
    """Sample means 1 and 3: variance 2, as at each position; the positions move together and are worth one value."""
    assert st.effective_sample_size(np.array([[[0.0, 2.0]], [[2.0, 4.0]]])).tolist() == [2.0]
    # positions (0, 0), (2, 0), (0, 2), (2, 2): variance 4/3 at each, 2/3 of the means
    assert st.effective_sample_size(np.array([[[0.0, 0]], [[2, 0]], [[0, 2]], [[2, 2]]])) == pytest.approx([8])


def test_a_pattern_that_is_the_same_in_all_samples_counts_for_nothing():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4000, 1, 36))
    pattern = np.where(np.arange(36) % 2, 3.0, 0.0)
    np.testing.assert_allclose(st.effective_sample_size(x + pattern), st.effective_sample_size(x))
    np.testing.assert_allclose(st.effective_sample_size(x + pattern) / 4000, 36, rtol=0.05)


def test_effective_sample_size_predicts_the_spread_of_batch_means():
    rng = np.random.default_rng(1)
    images = rng.normal(size=(5000, 1, 8, 8)).cumsum(2).cumsum(3)  # neighbors agree
    batches = images[rng.integers(0, 5000, (2000, 16))].mean((1, 2, 3, 4))
    whole = st.effective_sample_size(images)[0]
    law = st.standard_error_of_mean(images.std(), whole * 16 / 5000)
    assert abs(batches.std() / law - 1) < 0.05
    assert batches.std() > 4 * st.standard_error_of_mean(images.std(), 16 * 64)


def test_channels_do_not_mix():
    """Every per-channel statistic of a channel is the one it has on its own."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 3, 5)) ** 3 * np.array([1, 100, 1e-3])[:, None] + np.array([0, 7, -3])[:, None]
    for law in (st.effective_sample_size, st.excess_kurtosis, lambda x: st.population_statistics([x])[1]):
        together = law(x)
        for c in range(3):
            np.testing.assert_allclose(together[c], law(x[:, c : c + 1])[0], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_everything_is_computed_in_float64(dtype):
    third = np.full(2, 1 / 3, dtype)
    exact = third.astype(np.float64)
    for call in (
        lambda v: st.average_step(v, 0 * v, 0.3), lambda v: st.average_step(0 * v, v, 0.3),
        lambda v: st.exponential_average(v, 0.3), lambda v: st.cumulative_average(v), lambda v: st.unbiased(v, 7),
        lambda v: st.standard_error_of_mean(v, 3), lambda v: st.standard_error_of_mean(1, v),
        lambda v: st.standard_error_of_variance(v, 3), lambda v: st.standard_error_of_variance(1, 9, v),
    ):  # fmt: skip
        assert call(third).dtype == np.float64
        np.testing.assert_array_equal(call(third), call(exact))
    x = (100 + np.random.default_rng(0).normal(size=(40, 2, 9))).astype(dtype)
    for law in (st.excess_kurtosis, st.effective_sample_size, lambda x: st.population_statistics([x])[1]):
        assert law(x).dtype == np.float64
        np.testing.assert_allclose(law(x), law(x.astype(np.float64)), rtol=1e-12)


def test_sample_size_where_all_means_agree():
    assert np.isinf(st.effective_sample_size(np.array([[[-1.0, 1.0]], [[1.0, -1.0]]]))).all()
    assert np.isnan(st.effective_sample_size(np.ones((3, 2, 4)))).all()


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: st.average_step(0, 1, 1.1), ValueError, r"weight is 1.1, wanted a number from 0 to 1"),
    (lambda: st.average_step(0, 1, -0.1), ValueError, r"weight is -0.1, wanted"),
    (lambda: st.average_step(0, 1, float("nan")), ValueError, r"weight is nan, wanted"),
    (lambda: st.average_step(0, 1, "0.1"), TypeError, r"weight is '0.1', wanted a number"),
    (lambda: st.average_step(0, 1, True), TypeError, r"weight is True, wanted a number"),
    (lambda: st.exponential_average(3.0), ValueError, r"^values has shape \(\), wanted \(steps, ...\): one .* step$"),
    (lambda: st.exponential_weights(2, 3), ValueError, r"momentum is 2, wanted"),
    (lambda: st.unbiased(1.0, 1), ValueError, r"count is 1, wanted at least 2"),
    (lambda: st.standard_error_of_mean(1.0, 0), ValueError, r"count is 0.0, wanted a number above 0"),
    (lambda: st.standard_error_of_mean(1.0, [3, -1]), ValueError, r"count is \[ 3. -1.\], wanted a number above 0"),
    (lambda: st.standard_error_of_variance(1.0, 1), ValueError, r"count is 1.0, wanted at least 2"),
    (lambda: st.population_statistics([]), ValueError, r"^there are no values in batches, wanted .* one sample$"),
    (lambda: st.population_statistics([np.zeros((0, 3))]), ValueError, r"no values in batches"),
    (lambda: st.population_statistics([np.zeros(3)]), ValueError, r"batch has shape \(3,\), wanted \(N, C\)"),
    (lambda: st.population_statistics([np.zeros((2, 3)), np.zeros((2, 4))]), ValueError, r"\(2, 4\), wanted 3"),
    (lambda: st.population_statistics([np.zeros((2, 3), int)]), TypeError, r"batch has dtype int64, wanted float16"),
    (lambda: st.excess_kurtosis(np.zeros(3)), ValueError, r"x has shape \(3,\), wanted \(N, C\)"),
    (lambda: st.effective_sample_size(np.zeros(3)), ValueError, r"x has shape \(3,\), wanted \(N, C\)"),
    (lambda: st.effective_sample_size(np.zeros((1, 3, 4))), ValueError, r"\(1, 3, 4\), wanted at least 2 samples"),
    (lambda: st.effective_sample_size(np.zeros((2, 3, 0))), ValueError, r"\(2, 3, 0\), wanted at least 2 samples"),
])  # fmt: skip
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


CONSTANTS = [0.1, -0.3, 7.0, 0.0, 1e-300, 5e-324, 1e154, 1.7e308, np.float32(0.1), np.float32(3e38), np.float16(0.1)]


@pytest.mark.parametrize("value", CONSTANTS, ids=repr)
def test_constants_have_no_spread(value):
    """Exactly: the mean of equal numbers may be rounded, and then their distance from it is not 0."""
    x = np.full((1000, 1, 7), value)
    assert np.isnan(st.excess_kurtosis(x)).all()
    assert np.isnan(st.effective_sample_size(x)).all()
    mean, var, _ = st.population_statistics([x[:1], x[1:300], x[300:]])
    assert (mean.tolist(), var.tolist()) == ([float(value)], [0.0])
    pattern = np.broadcast_to(np.random.default_rng(0).uniform(-1, 1, 7), (50, 1, 7)) * np.float64(value)
    assert np.isnan(st.effective_sample_size(pattern)).all()  # constant from sample to sample


def test_sample_means_that_agree_but_for_rounding():
    rng = np.random.default_rng(0)
    x = np.stack([rng.permutation([0.1, 0.2, 0.3, 0.7, 1.1]) for _ in range(40)])[:, None]
    assert np.ptp(x.mean(2)) > 0
    assert np.isinf(st.effective_sample_size(x)).all()
    x[0] += 1e-12  # a real difference, however small
    assert np.isfinite(st.effective_sample_size(x)).all()


@pytest.mark.parametrize("exponent", [-990, -520, -260, 0, 260, 520, 990])
def test_statistics_know_no_unit(exponent):
    """Fourth powers of 1e80, squares of 1e155 and products of 1e-200 are out of range; what they say is not."""
    x, unit = np.random.default_rng(0).normal(size=(50, 2, 9)), 2.0**exponent
    np.testing.assert_array_equal(st.excess_kurtosis(x * unit), st.excess_kurtosis(x))
    np.testing.assert_array_equal(st.effective_sample_size(x * unit), st.effective_sample_size(x))
    (mean, var, _), (mean1, var1, _) = (st.population_statistics(np.split(a, 5)) for a in (x * unit, x))
    np.testing.assert_array_equal(mean, mean1 * unit)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(var, np.ldexp(var1, 2 * exponent), rtol=1e-12, atol=1e-320)


def test_population_of_the_largest_numbers():
    x = np.array([[1.7e308], [-1.7e308], [1.7e308], [-1.7e308]])
    assert st.population_statistics([x[:1], x[1:2], x[2:]])[0].tolist() == pytest.approx([0], abs=1e293)
    assert st.population_statistics([x])[:2] == (0, np.inf)
    mean, var, _ = st.population_statistics([np.array([[1.0, np.inf, np.nan], [2.0, 1.0, 1.0]])])
    np.testing.assert_array_equal(mean, [1.5, np.inf, np.nan])
    np.testing.assert_array_equal(var, [0.25, np.nan, np.nan])


def test_no_floating_point_error_where_numpy_is_asked_to_raise():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3, 5)) * np.array([1e-200, 1, 1e200])[:, None]
    with np.errstate(all="raise"):
        assert st.exponential_weights(0.5, 2000)[-1] == 0
        assert st.exponential_average(np.zeros(2000), 0.5, start=1.0)[-1] == 0
        assert np.isfinite(st.excess_kurtosis(x)).all()
        assert np.isfinite(st.effective_sample_size(x)).all()
        assert np.isfinite(st.population_statistics([x]).mean).all()
        assert st.average_step(1e-320, 0.0, 0.9) < 1e-320
        assert st.unbiased(1.7e308, 2) == np.inf
        assert st.standard_error_of_variance(1e-320, 3) < 1e-319
        assert np.isnan(st.excess_kurtosis(np.ones((3, 1)))).all()


@pytest.mark.parametrize("batches", [np.zeros((100, 3, 8, 8)), np.zeros((5, 100, 3)), np.zeros(3), np.zeros((0, 3))])
def test_an_array_is_no_list_of_batches(batches):
    """It used to take each sample for a batch, and rows for channels."""
    with pytest.raises(TypeError, match=r"batches is an array of shape .*, wanted an iterable .*pass \[x\]"):
        st.population_statistics(batches)

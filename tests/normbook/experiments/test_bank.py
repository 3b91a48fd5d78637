"""The trainer behind the comparison: a bank is its networks, and its steps are PyTorch's."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normbook.experiments import bank
from normbook.experiments.bank import NORMS, Bank, Job, batches, split, train

torch = pytest.importorskip("torch")

SMALL = Job(
    "digits",
    "BN",
    rates=(0.02, 0.2),
    seeds=(3, 4),
    images=320,
    gradient_batch=16,
    norm_batch=16,
    known=160,
    chosen=100,
    tested=200,
    strides=(1, 2, 1),
    width=8,
    checks=3,
)


class Alone(torch.nn.Module):
    """One network of a bank, in PyTorch's own layers."""

    def __init__(self, job, whole, k):
        super().__init__()
        self.job, self.shortcut = job, whole.shortcut
        width = job.width

        def take(tensor, size):
            return torch.nn.Parameter(tensor.detach()[k * size : (k + 1) * size].clone())

        self.convolutions = torch.nn.ParameterList([take(w, width) for w in whole.weights])
        self.norms = torch.nn.ModuleList([self.norm(width) for _ in job.strides])
        self.last, self.bias = take(whole.last, 10), take(whole.bias, 10)

    def norm(self, width):
        if self.job.norm == "BN":
            return torch.nn.BatchNorm2d(width)
        if self.job.norm == "IN":
            return torch.nn.InstanceNorm2d(width, affine=True)
        if self.job.norm == "none":
            layer = torch.nn.Module()
            layer.bias = torch.nn.Parameter(torch.zeros(width))
            layer.forward = lambda x: x + layer.bias[:, None, None]
            return layer
        return torch.nn.GroupNorm(bank.GROUPS if self.job.norm == "GN" else 1, width)

    def forward(self, x):
        rows = zip(self.convolutions, self.norms, self.job.strides, self.shortcut, strict=True)
        for w, norm, stride, around in rows:
            h = norm(torch.nn.functional.conv2d(x, w, None, stride, 1))
            x = torch.relu(x + h) if around else torch.relu(h)
        return torch.nn.functional.conv2d(x, self.last, self.bias).flatten(1)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(("norm", "group"), [*((norm, 16) for norm in NORMS), ("BN", 4), ("BN", 1)])
def test_training_is_torch_s_own_with_one_group_after_the_other(norm, group, residual):
    """The last of four networks against itself alone, with torch's layers and optimizer.

    In each step the groups pass one after the other and their gradients add up, which is gradient accumulation.
    """
    job = dataclasses.replace(SMALL, norm=norm, norm_batch=group, residual=residual)
    images, labels, parts = split(job)
    whole = Bank(job, 8)
    alone = Alone(job, whole, 3)
    optimizer = torch.optim.SGD(alone.parameters(), lr=0.2, momentum=0.9)
    x, y = torch.from_numpy(images[1])[:, None], torch.from_numpy(labels[1])
    order = batches(job, np.random.default_rng(20_004), labels[1], parts[1][0])
    curve = []
    for step in range(job.steps):
        optimizer.param_groups[0]["lr"] = 0.2 * 0.5 * (1 + math.cos(math.pi * step / job.steps))
        batch = torch.from_numpy(next(order))
        optimizer.zero_grad()
        for k in range(16 // group):
            own = batch[k :: 16 // group]
            (torch.nn.functional.cross_entropy(alone(x[own]), y[own], reduction="sum") / 16).backward()
        optimizer.step()
        if step + 1 in job.check_steps:
            alone.eval()
            curve.append((alone(x[160:260]).argmax(1) == y[160:260]).double().mean().item())
            alone.train()
    measured = train(job)
    np.testing.assert_allclose(measured["validation"][1, 1], curve, atol=0.0301)  # three images of a hundred
    alone.eval()
    right = (alone(x[260:]).argmax(1) == y[260:]).double().mean().item()
    assert measured["test"][1, 1] == pytest.approx(right, abs=0.0201)
    if norm == "BN" and group == 16:
        for layer in alone.norms:
            layer.momentum = 1.0
        alone.train()(x[:160])
        right = (alone.eval()(x[260:]).argmax(1) == y[260:]).double().mean().item()
        assert measured["population"][1, 1] == pytest.approx(right, abs=0.0201)
    assert ("population" in measured) == ("company" in measured) == (norm == "BN")


@pytest.mark.parametrize(("norm", "group"), [*((norm, 16) for norm in NORMS), ("BN", 4)])
def test_scores_gradients_and_running_averages_of_a_bank_are_those_of_its_networks(norm, group):
    job = dataclasses.replace(SMALL, norm=norm, norm_batch=group, residual=True)
    whole = Bank(job, 8)
    x = torch.randn(16, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    scores = whole.scores(x, group, 0.1)
    slopes = torch.autograd.grad(scores.square().sum(), [*whole.weights, whole.last])
    for k in range(4):
        alone = Alone(job, whole, k)
        mine = torch.empty(16, 10)
        for g in range(16 // group):
            mine[g :: 16 // group] = alone(x[g :: 16 // group, k : k + 1])
        np.testing.assert_allclose(scores[:, k].detach(), mine.detach(), rtol=1e-3, atol=1e-4)
        own = torch.autograd.grad(mine.square().sum(), [*alone.convolutions, alone.last])
        for together, single in zip(slopes, own, strict=True):
            np.testing.assert_allclose(together.chunk(4)[k], single, rtol=1e-2, atol=2e-2)
        if norm == "BN":
            for layer, means, variances in zip(alone.norms, whole.running_means, whole.running_vars, strict=True):
                np.testing.assert_allclose(means.chunk(4)[k], layer.running_mean, rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(variances.chunk(4)[k], layer.running_var, rtol=1e-4, atol=1e-5)


def test_weights_are_he_s_and_depend_on_the_seed_alone():
    jobs = [dataclasses.replace(SMALL, norm=norm, seeds=tuple(range(40)), width=16) for norm in NORMS]
    banks = [Bank(job, 8) for job in jobs]
    for layer, inputs in zip([*banks[0].weights, banks[0].last], [9, 144, 144, 256], strict=True):
        gain = 1 if layer is banks[0].last else 2
        distinct = layer.detach().reshape(40, 2, -1)
        assert torch.equal(distinct[:, 0], distinct[:, 1])  # two rates
        four_sigma = 4 * (2 / distinct[:, 0].numel()) ** 0.5
        assert distinct[:, 0].var().item() == pytest.approx(gain / inputs, rel=four_sigma)
    for other in banks[1:]:
        for a, b in zip(banks[0].weights, other.weights, strict=True):
            assert torch.equal(a, b)


def test_without_a_norm_the_branches_of_a_network_with_shortcuts_add_up_to_the_stem():
    """Over 20 blocks the mean square of the activations grows less than ten times, not 2^20 times."""
    job = dataclasses.replace(SMALL, norm="none", residual=True, strides=(1,) * 21, width=32)
    x = torch.randn(50, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    sizes = [layer.square().mean().item() for layer in Bank(job, 8).layers(x)][:-1]
    assert max(sizes) < 10 * sizes[0]
    plain = [layer.square().mean().item() for layer in Bank(dataclasses.replace(job, norm="BN"), 8).layers(x, 50)][:-1]
    assert plain[-1] > 5 * plain[0]  # with a norm every branch adds one


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.75, 1.0])
def test_groups_are_as_alike_as_the_job_says(alike):
    job = dataclasses.replace(SMALL, alike=alike, norm_batch=8, known=1000, gradient_batch=32)
    _, labels, parts = split(job)
    order = batches(job, np.random.default_rng(0), labels[0], parts[0][0])
    first = np.stack([next(order) for _ in range(28)])  # most of a pass
    assert first.shape == (28, 32) and len(np.unique(first)) == first.size  # every image at most once
    groups = labels[0][first].reshape(28, 8, 4).transpose(0, 2, 1).reshape(-1, 8)  # image k is in group k modulo 4
    most = np.array([np.bincount(group, minlength=10).max() for group in groups])
    assert most.min() >= round(8 * alike)
    if alike == 1:
        assert len({group[0] for group in groups}) == 10
    if alike == 0.5:
        others = np.concatenate([group[group != np.bincount(group).argmax()] for group in groups])
        assert np.bincount(others, minlength=10).min() > 0.04 * len(others)
    if alike == 0:
        assert most.mean() < 4  # of eight images the most frequent class has about 2.4


@given(
    st.sampled_from([(16, 1), (16, 2), (16, 8), (12, 3), (32, 32), (8, 4)]),
    st.floats(0, 1),
    st.integers(400, 700),
    st.integers(0, 1000),
)
def test_batches_of_any_plan_hold_each_image_at_most_once_a_pass(sizes, alike, known, seed):
    size, group = sizes
    job = dataclasses.replace(
        SMALL, gradient_batch=size, norm_batch=group, alike=alike, known=known, images=32 * size, checks=1
    )
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, known)
    count = size // group
    same = round(alike * group)
    order = batches(job, random, labels, np.arange(known))
    for _ in range(5):
        batch = next(order)
        assert batch.shape == (size,) and len(set(batch.tolist())) == size
        groups = labels[batch].reshape(group, count).T
        assert all(np.bincount(own, minlength=10).max() >= same for own in groups)


def test_a_pass_sees_every_image_once_and_the_next_in_another_order():
    job = dataclasses.replace(SMALL, known=163)
    order = batches(job, np.random.default_rng(0), np.zeros(163, int), np.arange(163))
    first, second = (np.concatenate([next(order) for _ in range(10)]) for _ in range(2))
    for seen in (first, second):
        assert len(set(seen.tolist())) == 160
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize("data", ["digits", "fashion"])
def test_parts_do_not_overlap_and_are_standardized_by_the_first(data):
    job = dataclasses.replace(SMALL, data=data)
    images, labels, parts = split(job)
    for own, names, (known, chosen, tested) in zip(images, labels, parts, strict=True):
        assert (len(known), len(chosen), len(tested)) == (160, 100, 200) and len(own) == len(names) == 460
        assert not set(known) & set(chosen) and not set(chosen) & set(tested) and not set(known) & set(tested)
        assert abs(own[known].mean()) < 1e-5 and own[known].std() == pytest.approx(1, abs=1e-5)
    match = np.corrcoef(images[0][tested].ravel(), images[1][tested].ravel())[0, 1]
    assert match > 0.9999 if data == "fashion" else match < 0.6  # Fashion-MNIST has its own test images
    if data == "fashion":
        np.testing.assert_array_equal(labels[0][tested], bank.fashion().test.labels[:200])


def test_contrasts_change_each_image_by_its_own_two_numbers():
    plain, _, _ = split(dataclasses.replace(SMALL, seeds=(0,)))
    job = dataclasses.replace(SMALL, seeds=(0,), contrast=0.8)
    (lit,), (plain,) = split(job)[0], plain
    a = lit.std(axis=(1, 2)) / plain.std(axis=(1, 2))
    b = lit.mean(axis=(1, 2)) - a * plain.mean(axis=(1, 2))
    np.testing.assert_allclose(lit, a[:, None, None] * plain + b[:, None, None], atol=1e-4)
    assert np.log(a).std() == pytest.approx(0.8, rel=0.15) and b.std() == pytest.approx(0.8, rel=0.15)


def test_the_same_job_gives_the_same_bits_beside_other_threads_and_puts_the_threads_back():
    from concurrent.futures import ThreadPoolExecutor

    job = dataclasses.replace(SMALL, seeds=(3,))
    torch.set_num_threads(2)
    try:
        first = train(job)
        with ThreadPoolExecutor(2) as pool:
            others = list(pool.map(train, [job, dataclasses.replace(job, norm="GN"), job]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    for again in (others[0], others[2]):
        assert again.keys() == first.keys()
        for name, values in first.items():
            np.testing.assert_array_equal(again[name], values)
    assert not np.array_equal(others[1]["validation"], first["validation"])
    tiny = torch.tensor([1e-39]) * 0.5
    assert tiny.item() != 0  # numbers near zero are computed again


def test_a_search_measures_nothing_but_validation():
    found = train(dataclasses.replace(SMALL, tested=0))
    assert list(found) == ["validation"] and found["validation"].shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm": "XN"}, "norm 'XN': want one of none, BN, IN, GN, LN"),
        ({"norm_batch": 5}, "norm batch 5 of gradient batch 16: want a divisor"),
        ({"gradient_batch": 320, "norm_batch": 1}, "a batch of 320 from 160"),
        ({"rates": (0.2, 0.1)}, "ascending"),
        ({"seeds": ()}, "at least one"),
        ({"alike": 1.5}, "share between 0 and 1"),
        ({"checks": 30}, "no room for 30 checks"),
    ],
)
def test_a_job_that_cannot_be_run_says_so(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


def test_more_images_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="1960 images of 'digits': there are 1797"):
        split(dataclasses.replace(SMALL, tested=1700))


def test_every_norm_and_group_gives_different_numbers():
    """A knob that does nothing would make two of these equal."""
    jobs = [dataclasses.replace(SMALL, norm=norm, residual=r) for norm in NORMS for r in (False, True)]
    jobs += [dataclasses.replace(SMALL, norm_batch=4), dataclasses.replace(SMALL, alike=1.0)]
    jobs += [dataclasses.replace(SMALL, contrast=0.5), dataclasses.replace(SMALL, momentum=0.0)]
    jobs += [dataclasses.replace(SMALL, cosine=False)]
    curves = [train(job)["validation"] for job in jobs]
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(curves, 2))

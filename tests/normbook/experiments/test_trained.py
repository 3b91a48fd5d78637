"""The trained networks that come with the package: what they say they are, in NumPy and in torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from normbook.experiments import trained
from normbook.experiments.trained import NORMS, SEEDS, convolve, make, network

KINDS = [(data, norm) for data in ("digits", "fashion") for norm in NORMS]


@pytest.mark.parametrize(("data", "norm"), KINDS)
def test_they_reach_the_accuracy_that_is_stated(data, norm):
    for seed in SEEDS:
        net = network(data, norm, seed)
        images, labels = net.part("tested")
        assert len(labels) == (500 if data == "digits" else 2000)
        right = np.mean(net.scores(images).argmax(1) == labels)
        assert (0.955 if data == "digits" else 0.845) < right < (0.99 if data == "digits" else 0.88)


@pytest.mark.parametrize(("data", "norm"), KINDS)
@pytest.mark.parametrize("training", [False, True])
def test_numpy_and_torch_agree_layer_by_layer(data, norm, training):
    torch = pytest.importorskip("torch")
    net = network(data, norm, 1)
    images, _ = net.part("tested")
    x = torch.from_numpy(images[:40])
    module = net.module()
    assert not module.training
    if training:
        module.train()
    layers = net.layers(images[:40], training)
    scores = net.scores(images[:40], training)
    place = iter(module)
    with torch.no_grad():
        for layer in layers:
            x = next(place)(x)
            if norm != "none":  # without a norm torch's convolution holds the bias
                np.testing.assert_allclose(layer.convolved, x, rtol=1e-4, atol=1e-3)
                x = next(place)(x)
            np.testing.assert_allclose(layer.normalized, x, rtol=1e-3, atol=1e-3)
            x = next(place)(x)
            np.testing.assert_allclose(layer.output, x, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(scores, torch.nn.Sequential(*place)(x), rtol=1e-3, atol=5e-3)


@pytest.mark.slow
@pytest.mark.sample(1)
@pytest.mark.parametrize("norm", NORMS)
def test_a_part_trained_anew_is_the_part_that_is_kept(norm):
    """On the kind of processor and the versions that the file was made with to the last bit, elsewhere in accuracy."""
    pytest.importorskip("torch")
    again = make("digits", norm)
    kept = trained._file()
    assert {name for name in kept if name.startswith(f"digits {norm} ")} == set(again)
    if all(np.array_equal(kept[name], values) for name, values in again.items()):
        return
    differ = max(
        np.abs(kept[name].astype(float) - values).mean() for name, values in again.items() if "weights" in name
    )
    spread = np.mean([np.abs(v.astype(float) - v[::-1]).mean() for name, v in again.items() if "weights" in name])
    assert differ < spread / 5, "another network, not the same one with other rounding"


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [8, 7])
def test_the_convolution_is_torch_s(stride, side):
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    x, w = random.normal(size=(3, 2, side, side)).astype("f"), random.normal(size=(5, 2, 3, 3)).astype("f")
    theirs = torch.nn.functional.conv2d(torch.from_numpy(x), torch.from_numpy(w), None, stride, 1)
    np.testing.assert_allclose(convolve(x, w, stride), theirs, rtol=1e-4, atol=1e-4)


def test_it_was_never_shown_what_it_is_tested_with():
    for data in ("digits", "fashion"):
        net = network(data, "BN", 2)
        parts = [net.part(name).images for name in ("known", "chosen", "tested")]
        rows = [{image.tobytes() for image in part} for part in parts]
        shared = rows[2] & (rows[0] | rows[1])
        assert len(shared) == 0
        assert abs(parts[0].mean()) < 1e-4 and parts[0].dtype == np.float32


def test_a_group_has_statistics_of_its_own():
    net = trained.network("fashion", "BN")
    images = net.part("tested").images[:12]
    together = net.scores(images, training=True, group=4)
    for k in range(3):  # image k is in group k modulo three
        np.testing.assert_allclose(together[k::3], net.scores(images[k::3], training=True), rtol=1e-4, atol=1e-4)
    assert np.abs(together - net.scores(images, training=True)).max() > 0.1
    np.testing.assert_array_equal(net.scores(images, group=4), net.scores(images))  # eval mode: stored statistics
    with pytest.raises(ValueError, match="12 images do not divide into groups of 5"):
        net.scores(images, training=True, group=5)


def test_running_statistics_are_those_of_its_training_images():
    """Channel by channel, within what ten groups of 32 images tell."""
    net = network("fashion", "BN")
    first = net.layers(net.part("known").images[:2000])[0].convolved
    np.testing.assert_allclose(net.running_mean[0], first.mean(axis=(0, 2, 3)), atol=0.1 * first.std())
    np.testing.assert_allclose(net.running_var[0], first.var(axis=(0, 2, 3)), rtol=0.25)


@pytest.mark.parametrize("asked", [("photos", "BN", 0), ("digits", "GN", 0), ("digits", "BN", 3)])
def test_a_network_that_is_not_there_is_named(asked):
    with pytest.raises(ValueError, match=f"no network '{asked[0]}', '{asked[1]}', seed {asked[2]}: want"):
        network(*asked)


def test_a_damaged_file_is_named(monkeypatch, tmp_path):
    wrong = tmp_path / "trained.npz"
    wrong.write_bytes(trained.FILE.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(trained, "FILE", wrong)
    trained._file.cache_clear()
    with pytest.raises(ValueError, match=r"trained.npz is damaged"):
        network("digits", "BN")
    trained._file.cache_clear()


def test_looking_into_a_network_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = sys.modules['pooch'] = None; import json\n"
        "from normbook.experiments.trained import network\n"
        "net = network('digits', 'IN', 1); x = net.part('tested').images[:7]\n"
        "print(json.dumps([list(layer.output.shape) for layer in net.layers(x)]))"
    )
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert json.loads(done.stdout) == [[7, 16, 8, 8]] * 2 + [[7, 16, 4, 4]] * 4

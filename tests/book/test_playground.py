"""The playground's program, in Node, beside normcore: step by step; and what its cards say, for several seeds."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from normbook import playground as page
from normbook.experiments.playground import Playground, Settings, split

ROOT = Path(__file__).parents[2]
CORE = ROOT / "book" / "_static" / "playground-core.js"
DRIVER = Path(__file__).with_name("playground.js")
STEPS, AT = 200, [0, 1, 20, 100, 200]
RUNS = {
    "none": Settings(norm="none", batch=8, rate=0.01),
    "batch": Settings(norm="batch", batch=16, norm_batch=4, momentum=0.3),
    "batch, class-sorted": Settings(norm="batch", batch=8, norm_batch=2, sorted=True, depth=2, gain=2, seed=5),
    "instance": Settings(norm="instance", batch=8, sorted=True, norm_batch=4, inertia=0.5),
    "group": Settings(norm="group", batch=8, gain=0.58, depth=4, seed=3),
}
BUGS = {  # name: (the program's text, the mistake, the run that it shows in)
    "dX + dY, as in a public fork": ("dx[p] = r * (", "dx[p] = dy[p] + r * (", "batch"),
    "statistics treated as constants": (" - sum / count - (xhat[p] * along) / count", "", "group"),
    "a mean too few": (" - sum / count", "", "instance"),
    "ε forgotten": ("Math.sqrt(variance + EPS)", "Math.sqrt(variance)", "group"),
    "running variance biased": ("((variances[k] * count) / (count - 1))", "variances[k]", "batch"),
    "momentum swapped": ("(1 - momentum) * layer.mean[c] + momentum * mean", "momentum * layer.mean[c] + (1 - momentum) * mean", "batch"),  # noqa: E501
    "another norm batch": ("row(first + k, c)", "row((first + k + 1) % n, c)", "batch"),
    "images in another order": ("Math.floor(random() * (i + 1))", "Math.floor(random() * i)", "none"),
}


@pytest.fixture(scope="module")
def node():
    """node(tasks, core=...) -> answers of the program in Node."""
    path = shutil.which("node")
    if path is None:
        why = "no Node.js found: the playground's program was not compared with normcore"
        if os.environ.get("CI"):
            pytest.fail(why, pytrace=False)
        pytest.skip(why)
    digits = page.packed()

    def answers(*tasks, core=CORE):
        task = json.dumps({"digits": digits, "tasks": tasks})
        done = subprocess.run([path, DRIVER, core], input=task, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return answers


def trajectory(name, steps=STEPS):
    at = [step for step in AT if step <= steps]
    return {"what": "trajectory", "settings": RUNS[name].for_page(), "steps": steps, "at": at}


@pytest.fixture(scope="module")
def ours():
    """The same runs with normcore, as numbers by name and step."""
    data, told = split(), {}
    for name, settings in RUNS.items():
        run = Playground(settings, data)
        told[name] = {}
        for step in range(STEPS + 1):
            if step:
                run.advance()
                told[name] |= {("loss", step): run.loss, ("means", step): run.means.ravel()}
            if step in AT:
                running = np.concatenate([s for layer in run.layers for s in (layer.mean, layer.var)])
                parameters = np.concatenate([p.ravel() for p in run.parameters])
                told[name] |= {
                    ("parameters", step): parameters.copy(), ("running statistics", step): running,
                    ("length", step): run.weight_norm, ("look", step): run.look()[1:],
                }  # fmt: skip
    return told


def theirs(answer):
    """What Node told of a run, likewise."""
    told = {}
    for step, (loss, means) in enumerate(zip(answer["losses"], answer["means"], strict=True), 1):
        told |= {("loss", step): float(loss), ("means", step): means}
    for state in answer["states"]:
        look, step = state["look"], state["look"]["step"]
        told |= {
            ("parameters", step): state["parameters"], ("running statistics", step): state["running"],
            ("length", step): state["weightNorm"],
            ("look", step): [look[mode][what] for mode in ("train", "eval") for what in ("loss", "right")],
        }  # fmt: skip
    return told


def disagreement(ours, theirs):
    """The largest relative difference, and where it is."""

    def relative(key):
        mine, other = np.asarray(ours[key], float), np.asarray(theirs[key], float)
        return float(np.nan_to_num(np.abs(mine - other).max() / np.abs(mine).max(), nan=np.inf))

    return max((relative(key), key) for key in theirs)


def test_every_norm_trains_as_with_normcore(node, ours):
    answers = node(*map(trajectory, RUNS))
    for name, answer in zip(RUNS, answers, strict=True):
        told = theirs(answer)
        assert told.keys() == ours[name].keys() and len(told) == 2 * STEPS + 4 * len(AT)
        worst, where = disagreement(ours[name], told)
        assert worst <= 1e-10, f"{name}: {where} differs by {worst:.1e}"
        assert 0 < told["loss", STEPS] < 0.7 * told["loss", 1], f"{name} does not learn: nothing was compared"


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_mistake_is_caught(node, ours, tmp_path, bug):
    right, wrong, name = BUGS[bug]
    text = CORE.read_text("utf8")
    assert right in text
    planted = tmp_path / "core.js"
    planted.write_text(text.replace(right, wrong), "utf8")
    (answer,) = node(trajectory(name, 20), core=planted)
    assert disagreement(ours[name], theirs(answer))[0] > 1e-10


def test_gradients_against_differences(node, tmp_path):
    """Of every parameter of every norm; and the check sees the fork's mistake."""

    def error(pairs):
        by_hand, measured = np.array(pairs).T
        return np.abs(by_hand - measured).max() / (1e-2 + np.abs(measured).max())

    h, small = 1e-5, {"batch": 6, "norm_batch": 3, "depth": 2}
    tasks = [
        {"what": "gradients", "settings": settings._replace(**small).for_page(), "entries": 6, "h": h}
        for settings in RUNS.values()
    ]
    for name, answer in zip(RUNS, node(*tasks), strict=True):
        assert len(answer) == (6 if name == "none" else 8)
        assert max(map(error, answer)) < 1e-6, name
    right, wrong, name = BUGS["dX + dY, as in a public fork"]
    (tmp_path / "core.js").write_text(CORE.read_text("utf8").replace(right, wrong), "utf8")
    (answer,) = node(tasks[list(RUNS).index(name)], core=tmp_path / "core.js")
    assert max(map(error, answer)) > 1e-2


def test_a_scale_is_written_on_every_slider(monkeypatch):
    monkeypatch.setenv("NORMCORE_BOOK", "1")
    for small in (True, False):
        shown = page.playground(small=small)._repr_html_()
        assert shown.count('class="nc-scale') == shown.count('type="range"') > 0


def test_a_link_holds_what_differs_from_the_start():
    turned = Settings(norm="none", gain=4, sorted=True, norm_batch=4)
    assert page.link(turned) == "#norm=none&normBatch=4&sorted=on&gain=4"
    assert page.link(Settings()) == "#"


def test_packed_digits_are_the_digits(node):
    data = split()
    texts = page.packed(data)["train"]
    assert [ord(c) - 97 for c in texts[3][64:128]] == (data.train.images[301].ravel() * 16).tolist()
    assert not set(map(bytes, data.train.images)) & set(map(bytes, data.fresh.images))  # new is new


# ---- what the cards say

CLAIMS = {}
SEEDS = (1, 2, 3)


def claim(name, at, **others):
    """The check of a card: it gets the card's own run and others with changed settings, {step: look at new images}."""
    return lambda check: CLAIMS.setdefault(name, (at, {"card": {}, **others}, check))


@claim("default", [100], batch={"norm": "batch"})
def _(card, batch):
    assert card[100]["eval"]["right"] <= 0.15
    assert batch[100]["eval"]["right"] > 0.75


@claim("rate", [0, 100], slow={"rate": 0.03}, none={"norm": "none"})
def _(card, slow, none):
    assert 0.5 < card[100]["eval"]["right"] < slow[100]["eval"]["right"]
    assert card[100]["weightNorm"] > 3 * card[0]["weightNorm"]
    assert none[100]["eval"]["right"] <= 0.15


@claim("length", [0, 50], usual={"gain": 1.41})
def _(card, usual):
    assert card[0]["train"]["loss"] == pytest.approx(usual[0]["train"]["loss"], rel=1e-3)
    assert card[50]["train"]["loss"] > usual[50]["train"]["loss"]
    assert card[50]["train"]["right"] < usual[50]["train"]["right"]


@claim("momentum", [30, 200])
def _(card):
    assert card[30]["eval"]["right"] <= card[30]["train"]["right"] - 0.1
    assert abs(card[200]["eval"]["right"] - card[200]["train"]["right"]) <= 0.05


@claim("one", [50, 100], instance={"norm": "instance"})
def _(card, instance):
    for step in (50, 100):
        assert card[step]["train"] == pytest.approx(instance[step]["train"], rel=1e-9)
        assert card[step]["eval"]["loss"] != pytest.approx(instance[step]["eval"]["loss"], rel=1e-3)


@claim("sorted", [100])
def _(card):
    train, new = card[100]["train"], card[100]["eval"]
    assert new["right"] > 0.85 and abs(new["right"] - train["right"]) <= 0.05
    assert train["loss"] < new["loss"] < train["loss"] + 0.1


@claim("gradient", [100], mixed={"sorted": False}, batch={"norm": "batch"}, none={"norm": "none"})
def _(card, mixed, batch, none):
    for run in (card, batch, none):
        assert run[100]["eval"]["right"] <= mixed[100]["eval"]["right"] - 0.15


@pytest.mark.slow
def test_every_card_is_true(node):
    cards = {card.name: card for card in page.CARDS}
    assert cards.keys() == CLAIMS.keys()
    asked = [(name, seed, run) for name, (_, runs, _) in CLAIMS.items() for seed in SEEDS for run in runs]
    tasks = []
    for name, seed, run in asked:
        at, runs, _ = CLAIMS[name]
        settings = cards[name].settings._replace(seed=seed, **runs[run])
        tasks.append({"what": "looks", "settings": settings.for_page(), "at": at})
    told = {key: {look["step"]: look for look in looks} for key, looks in zip(asked, node(*tasks), strict=True)}
    for name, (at, runs, check) in CLAIMS.items():
        assert cards[name].steps in at and 0 <= cards[name].right < len(cards[name].choices)
        for seed in SEEDS:
            check(**{run: told[name, seed, run] for run in runs})

"""The assignments: named mistakes lose points, other correct solutions do not, and no marker slips through."""

import re
import warnings

import nbformat
import numpy as np
import pytest

from grading import build
from grading.course import SOURCES
from grading.source import STUB, SourceError, hidden_lines, maximum, read, student_version

NAMES = ("backward-pass", "forward-pass", "small-batches", "train-and-eval")


@pytest.fixture(scope="module")
def notebooks():
    return {name: read(SOURCES / f"{name}.md") for name in NAMES}


def points(notebook, answers):
    """Points that tests give, by test, with these answers in place of the reference's."""
    return {name: got for name, (got, _) in build.score(notebook, answers).items()}


def altered(notebook, name, *changes):
    """The reference answer with pieces replaced; every piece must be there."""
    source = next(c.source for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == name)
    for old, new in changes:
        assert old in source, f"{old!r} is not in the reference answer {name}"
        source = source.replace(old, new)
    return {name: source}


BATCH, INSTANCE = "(0, 2, 3)", "(2, 3)"
MISTAKES = {
    # assignment, answer, (old, new) ..., and the tests that must notice
    "unbiased variance in the normalization": (
        "forward-pass",
        "moments",
        [("((x - mean) ** 2).mean(axis=axes, keepdims=True)", "x.var(axis=axes, keepdims=True, ddof=1)")],
        ["moments-check", "moments-hidden"],
    ),
    "one-pass variance E[x²] − E[x]²": (
        "forward-pass",
        "moments",
        [("((x - mean) ** 2).mean(axis=axes, keepdims=True)", "(x ** 2).mean(axis=axes, keepdims=True) - mean ** 2")],
        ["moments-hidden"],
    ),
    "averaged axes dropped": (
        "forward-pass",
        "moments",
        [("return mean, var", "return mean.squeeze(), var.squeeze()")],
        ["moments-check"],
    ),
    "batch norm over the pixels alone": (
        "forward-pass",
        "batch-norm",
        [(BATCH, INSTANCE)],
        ["batch-norm-check", "batch-norm-hidden"],
    ),
    "no gradient at all": (
        "backward-pass",
        "input-gradient",
        [("return s * (", "return 0 * s * (")],
        ["input-gradient-check", "input-gradient-batch-hidden", "input-gradient-instance-hidden"],
    ),
    "the input gradient without s": (
        "backward-pass",
        "input-gradient",
        [("return s * (", "return (")],
        ["input-gradient-check", "input-gradient-batch-hidden"],
    ),
    "the input gradient without gamma": (
        "backward-pass",
        "input-gradient",
        [("gamma[:, None, None] * dy", "dy")],
        ["input-gradient-check", "input-gradient-batch-hidden"],
    ),
    "batch norm over the images alone": ("forward-pass", "batch-norm", [(BATCH, "(0,)")], ["batch-norm-hidden"]),
    "instance norm over the images too": (
        "forward-pass",
        "instance-norm",
        [(INSTANCE, BATCH)],
        ["instance-norm-check", "instance-norm-hidden"],
    ),
    "instance norm over the channels too (layer norm)": (
        "forward-pass",
        "instance-norm",
        [(INSTANCE, "(1, 2, 3)")],
        ["instance-norm-check"],
    ),
    "epsilon outside the root": (
        "forward-pass",
        "batch-norm",
        [("np.sqrt(var + eps)", "(np.sqrt(var) + eps)")],
        ["batch-norm-hidden"],
    ),
    "epsilon forgotten": (
        "forward-pass",
        "batch-norm",
        [("np.sqrt(var + eps)", "np.sqrt(var)")],
        ["batch-norm-hidden"],
    ),
    "epsilon fixed at 1e-5": ("forward-pass", "instance-norm", [("var + eps", "var + 1e-5")], ["instance-norm-hidden"]),
    "divided by the variance": (
        "forward-pass",
        "batch-norm",
        [("np.sqrt(var + eps)", "(var + eps)")],
        ["batch-norm-check", "batch-norm-hidden"],
    ),
    "beta inside the scaling": (
        "forward-pass",
        "batch-norm",
        [("(x - mean) * scale + beta[:, None, None]", "(x - mean + beta[:, None, None]) * scale")],
        ["batch-norm-hidden"],
    ),
    "the input changed in place": (
        "forward-pass",
        "batch-norm",
        [("return (x - mean) * scale", "x -= mean\n    return x * scale")],
        ["batch-norm-hidden"],
    ),
    "statistics treated as constants": (
        "backward-pass",
        "input-gradient",
        [("s * (centered - x_hat * (g * x_hat).mean(axis=axes, keepdims=True))", "s * g")],
        ["input-gradient-check", "input-gradient-batch-hidden", "input-gradient-instance-hidden"],
    ),
    "gamma missing in dx": (
        "backward-pass",
        "input-gradient",
        [("gamma[:, None, None] * dy", "dy")],
        ["input-gradient-batch-hidden", "input-gradient-instance-hidden"],
    ),
    "the variance treated as a constant": (
        "backward-pass",
        "input-gradient",
        [("(centered - x_hat * (g * x_hat).mean(axis=axes, keepdims=True))", "centered")],
        ["input-gradient-check", "input-gradient-batch-hidden"],
    ),
    "the mean treated as a constant": (
        "backward-pass",
        "input-gradient",
        [("g - g.mean(axis=axes, keepdims=True)", "g")],
        ["input-gradient-check", "input-gradient-batch-hidden"],
    ),
    "sums where means belong": (
        "backward-pass",
        "input-gradient",
        [(".mean(", ".sum(")],
        ["input-gradient-check", "input-gradient-batch-hidden"],
    ),
    "instance norm's gradient over the batch": (
        "backward-pass",
        "input-gradient",
        [("axis=axes", "axis=(0, 2, 3)")],
        ["input-gradient-check", "input-gradient-instance-hidden"],
    ),
    "the factor s forgotten": (
        "backward-pass",
        "input-gradient",
        [("return s * ", "return ")],
        ["input-gradient-batch-hidden"],
    ),
    "dgamma from y instead of x_hat, without its mean": (
        "backward-pass",
        "parameter-gradients",
        [("dy * x_hat", "dy * x_hat / s")],
        ["parameter-gradients-hidden"],
    ),
    "dgamma averaged": (
        "backward-pass",
        "parameter-gradients",
        [(".sum(axis=(0, 2, 3))", ".mean(axis=(0, 2, 3))")],
        ["parameter-gradients-check", "parameter-gradients-hidden"],
    ),
    "a one-sided difference": (
        "backward-pass",
        "central-difference",
        [("(f(x + step) - f(x - step)) / (2 * h)", "(f(x + step) - f(x)) / h")],
        ["central-difference-hidden"],
    ),
    "the difference not halved": (
        "backward-pass",
        "central-difference",
        [("/ (2 * h)", "/ h")],
        ["central-difference-check"],
    ),
    "momentum the wrong way": (
        "train-and-eval",
        "update",
        [("(1 - momentum) * running", "momentum * running"), ("+ momentum *", "+ (1 - momentum) *")],
        ["update-check", "update-hidden"],
    ),
    "a biased running variance": ("train-and-eval", "update", [(", ddof=1", "")], ["update-hidden"]),
    "the standard deviation stored": ("train-and-eval", "update", [("x.var(", "x.std(")], ["update-hidden"]),
    "running averages changed in place": (
        "train-and-eval",
        "update",
        [("    return", "    running_mean *= 1\n    running_var[:] = 0\n    return")],
        ["update-hidden"],
    ),
    "batch statistics in evaluation mode": (
        "train-and-eval",
        "evaluate",
        [("scale = ", "running_mean, running_var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))\n    scale = ")],
        ["evaluate-check", "evaluate-hidden"],
    ),
    "beta before gamma in evaluation mode": (
        "train-and-eval",
        "evaluate",
        [
            ("* scale[:, None, None] + beta[:, None, None]", "+ beta[:, None, None]) * scale[:, None, None]"),
            ("return (x", "return ((x"),
        ],
        ["evaluate-hidden"],
    ),
    "the cumulative average one batch behind": (
        "train-and-eval",
        "cumulative",
        [("/ t", "/ (t + 1)")],
        ["cumulative-check", "cumulative-hidden"],
    ),
    "one step too many": ("train-and-eval", "steps", [("left > fraction", "left >= fraction")], ["steps-check"]),
    "the mean gap instead of the largest": ("train-and-eval", "gap", [(").max()", ").mean()")], ["gap-hidden"]),
    "unbiased variance in the training output": (
        "train-and-eval",
        "gap",
        [("x.var(axis=(0, 2, 3), keepdims=True)", "x.var(axis=(0, 2, 3), keepdims=True, ddof=1)")],
        ["gap-check", "gap-hidden"],
    ),
    "instance norm without gamma and beta": (
        "small-batches",
        "make-norm",
        [(", affine=True", "")],
        ["make-norm-hidden"],
    ),
    "the two layers swapped": (
        "small-batches",
        "make-norm",
        [('"batch"', '"x"'), ('"instance"', '"batch"'), ('"x"', '"instance"')],
        ["make-norm-hidden"],
    ),
    "gradients added up": ("small-batches", "train", [("        optimizer.zero_grad()\n", "")], ["train-hidden"]),
    "trained in evaluation mode": ("small-batches", "train", [("net.train()", "net.eval()")], ["train-hidden"]),
    "measured in training mode": ("small-batches", "accuracy", [("net.eval()", "net.train()")], ["train-hidden"]),
    "standard deviation for standard error": (
        "small-batches",
        "summary",
        [(" / np.sqrt(len(values))", "")],
        ["summary-hidden"],
    ),
    "biased standard error": ("small-batches", "summary", [("ddof=1", "ddof=0")], ["summary-hidden"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_loses_points(notebooks, mistake):
    name, answer, changes, noticing = MISTAKES[mistake]
    notebook = notebooks[name]
    if name == "small-batches":  # leave out the training run, which has its own test
        notebook = nbformat.from_dict(notebook)
        notebook.cells = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") != "train-check"]
    with np.errstate(all="ignore"):
        got = points(notebook, altered(notebook, answer, *changes))
    assert [test for test in noticing if got[test] > 0] == []
    assert sum(got.values()) < maximum(notebooks[name], automatic=True)


ALTERNATIVES = {
    "forward, as a loop": (
        "forward-pass",
        {
            "moments": """
def moments(x, axes):
    kept = [a for a in range(x.ndim) if a not in axes]
    mean = np.zeros([x.shape[a] if a in kept else 1 for a in range(x.ndim)])
    var = mean.copy()
    for index in np.ndindex(mean.shape):
        part = x[tuple(i if a in kept else slice(None) for a, i in enumerate(index))]
        mean[index] = sum(part.ravel().tolist()) / part.size
        var[index] = sum((v - mean[index]) ** 2 for v in part.ravel().tolist()) / part.size
    return mean, var
""",
            "batch-norm": """
def batch_norm(x, gamma, beta, eps=1e-5):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        y[:, c] = gamma[c] * (x[:, c] - x[:, c].mean()) / (x[:, c].var() + eps) ** 0.5 + beta[c]
    return y
""",
        },
    ),
    "forward, by transposing": (
        "forward-pass",
        {
            "batch-norm": """
def batch_norm(x, gamma, beta, eps=1e-5):
    n, c, h, w = x.shape
    rows = x.transpose(1, 0, 2, 3).reshape(c, -1)
    rows = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + eps)
    rows = gamma[:, None] * rows + beta[:, None]
    return rows.reshape(c, n, h, w).transpose(1, 0, 2, 3)
""",
            "instance-norm": """
def instance_norm(x, gamma, beta, eps=1e-5):
    return np.concatenate([batch_norm(image[None], gamma, beta, eps) for image in x])
""",
        },
    ),
    "forward, with einsum": (
        "forward-pass",
        {
            "instance-norm": """
def instance_norm(x, gamma, beta, eps=1e-5):
    count = x.shape[2] * x.shape[3]
    d = x - np.einsum("nchw->nc", x)[..., None, None] / count
    s = 1 / np.sqrt(np.einsum("nchw,nchw->nc", d, d) / count + eps)
    return np.einsum("nchw,nc,c->nchw", d, s, gamma) + beta.reshape(1, -1, 1, 1)
"""
        },
    ),
    "backward, step by step as in the paper": (
        "backward-pass",
        {
            "input-gradient": """
def input_gradient(dy, cache):
    x_hat, s, gamma, axes = cache
    m = x_hat.size / s.size
    dx_hat = dy * gamma.reshape(1, -1, 1, 1)
    centered = x_hat / s
    dvar = (dx_hat * centered).sum(axis=axes, keepdims=True) * -0.5 * s ** 3
    dmean = -(dx_hat * s).sum(axis=axes, keepdims=True)
    return dx_hat * s + dvar * 2 * centered / m + dmean / m
""",
            "central-difference": """
def central_difference(f, x, h=1e-5):
    flat = x.astype(float).ravel()
    out = []
    for i in range(flat.size):
        up, down = flat.copy(), flat.copy()
        up[i] += h
        down[i] -= h
        out.append((f(up.reshape(x.shape)) - f(down.reshape(x.shape))) / (2 * h))
    return np.array(out).reshape(x.shape)
""",
        },
    ),
    "backward, one formula": (
        "backward-pass",
        {
            "input-gradient": """
def input_gradient(dy, cache):
    x_hat, s, gamma, axes = cache
    m = np.prod([dy.shape[a] for a in axes])
    total, along = dy.sum(axes, keepdims=True), (dy * x_hat).sum(axes, keepdims=True)
    return gamma[None, :, None, None] * s / m * (m * dy - total - x_hat * along)
""",
            "parameter-gradients": """
def parameter_gradients(dy, cache):
    return np.einsum("nchw,nchw->c", dy, cache[0]), np.einsum("nchw->c", dy)
""",
        },
    ),
    "running averages, with logarithms and increments": (
        "train-and-eval",
        {
            "update": """
def update(running_mean, running_var, x, momentum=0.1):
    flat = x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1)
    m = flat.shape[1]
    return (running_mean + momentum * (flat.mean(1) - running_mean),
            running_var + momentum * (flat.var(1) * m / (m - 1) - running_var))
""",
            "cumulative": """
def cumulative_update(running, new, t):
    return (running * (t - 1) + new) / t
""",
            "steps": """
def steps_until(fraction, momentum):
    return int(np.ceil(np.log(fraction) / np.log(1 - momentum) - 1e-12))
""",
        },
    ),
    "small batches, otherwise written": (
        "small-batches",
        {
            "make-norm": """
def make_norm(kind, channels):
    layers = {"batch": nn.BatchNorm2d, "instance": lambda c: nn.InstanceNorm2d(c, affine=True),
              "none": lambda c: nn.Sequential()}
    if kind not in layers:
        raise ValueError(kind)
    return layers[kind](channels)
""",
            "train": """
def train(net, images, labels, batch_size, lr, steps):
    net.train()
    parameters, losses, criterion = list(net.parameters()), [], nn.CrossEntropyLoss()
    for step in range(steps):
        pick = torch.randint(images.shape[0], (batch_size,))
        loss = criterion(net(images[pick]), labels[pick])
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for p, g in zip(parameters, gradients):
                p -= lr * g
        losses.append(float(loss.detach()))
    return losses
""",
            "summary": """
def summary(accuracies):
    n = len(accuracies)
    mean = sum(accuracies) / n
    return mean, (sum((a - mean) ** 2 for a in accuracies) / (n - 1) / n) ** 0.5
""",
        },
    ),
}


@pytest.mark.parametrize("name", ALTERNATIVES)
def test_another_correct_solution_gets_full_marks(notebooks, name):
    assignment, answers = ALTERNATIVES[name]
    failed = {t: message for t, (got, message) in build.score(notebooks[assignment], answers).items() if not got}
    assert failed == {}


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_gets_full_marks_and_the_untouched_notebook_none(name):
    assert "the reference gets full marks" in build.check(SOURCES / f"{name}.md")


def made_by_nbgrader(notebook):
    """The student version by nbgrader's own preprocessors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbgrader imports what newer libraries deprecate
        from nbgrader.preprocessors import ClearHiddenTests, ClearOutput, ClearSolutions, LockCells
    released, resources = nbformat.reads(nbformat.writes(notebook), as_version=4), {}
    for step in (LockCells(), ClearSolutions(code_stub={"python": STUB}), ClearOutput(), ClearHiddenTests()):
        released, resources = step.preprocess(released, resources)
    for cell in released.cells:
        cell.source = cell.source.rstrip()
    return released


USELESS = {
    "zeros": "0 * {0}",
    "its argument": "{0}",
    "two zeros": "(0 * {0}, 0 * {0})",
    "three zeros": "(0 * {0}, 0 * {0}, 0 * {0})",
    "not a number": "{0} + float('nan')",
    "true": "{0} == {0}",
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("useless", USELESS)
@pytest.mark.parametrize("name", NAMES)
def test_a_useless_answer_earns_nothing(notebooks, name, useless):
    notebook = notebooks[name]
    graded = {cell.metadata.nbgrader.grade_id: cell.source for cell in notebook.cells if "nbgrader" in cell.metadata}
    functions = {own: re.search(r"^def \w+\((\w+).*:$", source, re.M) for own, source in graded.items()}
    functions = {own: head for own, head in functions.items() if head and "### BEGIN SOLUTION" in graded[own]}
    assert functions
    for own, head in functions.items():
        answers = {own: f"{head[0]}\n    return {USELESS[useless].format(head[1])}"}
        earned = points(notebook, answers)
        assert {test: got for test, got in earned.items() if got and test.startswith(f"{own}-")} == {}


def test_regions_in_the_middle_of_a_cell_are_cut_as_nbgrader_cuts_them(notebooks):
    notebook = nbformat.reads(nbformat.writes(notebooks["forward-pass"]), as_version=4)
    roles = [cell.metadata.get("normcore", {}).get("role") for cell in notebook.cells]
    answer, test = notebook.cells[roles.index("answer")], notebook.cells[roles.index("test")]
    secret = "secret_number_one = 12345678"
    answer.source = (
        f"def f(x):\n    for i in x:\n        ### BEGIN SOLUTION\n        {secret}\n        ### END SOLUTION\n\n"
        f"    return x\n### BEGIN SOLUTION\n{secret}\n### END SOLUTION\nf([1])"
    )
    hidden = f"### BEGIN HIDDEN TESTS\nassert {secret[:17]}\n### END HIDDEN TESTS\n"
    test.source = f"assert f\n{hidden}assert f(1)\n\nassert f(2)"
    answer.outputs = [nbformat.v4.new_output("stream", text="seen")]
    own = student_version(notebook)
    assert nbformat.writes(own) == nbformat.writes(made_by_nbgrader(notebook))
    assert "secret" not in nbformat.writes(own) and "seen" not in nbformat.writes(own)


@pytest.mark.parametrize("name", NAMES)
def test_the_student_version_is_the_one_that_nbgrader_makes_and_holds_no_secret(notebooks, name):
    released = student_version(notebooks[name])
    assert nbformat.writes(released) == nbformat.writes(made_by_nbgrader(notebooks[name]))
    text = nbformat.writes(released)
    lines = hidden_lines(notebooks[name])
    assert len(lines) >= 20
    assert [line for line in lines if line in text] == []
    assert "BEGIN SOLUTION" not in text and "HIDDEN" not in text and "Rubric" not in text
    code = "\n".join(c.source for c in released.cells)
    assert code.count("Replace this line with your code.") == code.count("# YOUR CODE HERE") >= 3
    assert "YOUR ANSWER HERE" in code
    nbformat.validate(released)
    imports = {
        line.split()[1]
        for c in released.cells
        if c.cell_type == "code"
        for line in c.source.splitlines()
        if line.strip().startswith(("import ", "from "))
    }
    assert imports <= {"numpy", "torch"} and ("torch" in imports) == (name == "small-batches")


def test_written_answers_have_a_rubric_that_adds_up(notebooks):
    for notebook in notebooks.values():
        for cell in notebook.cells:
            if cell.metadata.get("normcore", {}).get("role") == "written":
                rubric = cell.source.split("Rubric:")[1]
                assert rubric.count("1 point ") == cell.metadata["nbgrader"]["points"]


GOOD = (SOURCES / "forward-pass.md").read_text()
BROKEN = {
    "misspelt marker": (
        "### BEGIN HIDDEN TESTS\nmean, var = moments(small",
        "### BEGIN HIDEN TESTS\nmean, var = moments(small",
    ),
    "another misspelling": ("    ### BEGIN SOLUTION\n    mean = x", "    ### BEGIN SOLUTIN\n    mean = x"),
    "two number signs": ("    ### END SOLUTION\n", "    ## END SOLUTION\n"),
    "lower-case marker": ("    ### BEGIN SOLUTION\n    mean = x", "    ### begin solution\n    mean = x"),
    "lower-case end marker": ("    ### END SOLUTION\n", "    ### end solution\n"),
    "missing end marker": ("### END HIDDEN TESTS\n", ""),
    "missing begin marker": ("    ### BEGIN SOLUTION\n    mean = x", "    mean = x"),
    "marker of the other kind": (
        "### BEGIN HIDDEN TESTS\nmean, var = moments(small",
        "### BEGIN SOLUTION\nmean, var = moments(small",
    ),
    "no marker at all": (
        "    ### BEGIN SOLUTION\n    mean = x.mean(axis=axes, keepdims=True)\n    var = ((x - mean) ** 2)"
        ".mean(axis=axes, keepdims=True)\n    return mean, var\n    ### END SOLUTION\n",
        "    return 3\n",
    ),
    "undeclared cell": (":scratch: one-image-try\n", ""),
    "undeclared answer": (":answer: moments\n", ""),
    "misspelt role": (":answer: moments\n", ":anser: moments\n"),
    "a test without points": (":test: moments-check\n:points: 2\n", ":test: moments-check\n"),
    "a name used twice": (":test: batch-norm-check\n", ":test: moments-check\n"),
    "an answer that redefines a helper": ("def moments(x, axes):", "small = 3\ndef moments(x, axes):"),
    "a solution in running text": ("## 2. Batch norm (6 points)", "### BEGIN SOLUTION\nx\n### END SOLUTION"),
}


@pytest.mark.parametrize("slip", BROKEN)
def test_a_slip_in_the_source_stops_the_build(tmp_path, slip):
    old, new = BROKEN[slip]
    assert GOOD.count(old) >= 1
    sources, published = tmp_path / "sources", tmp_path / "published"
    sources.mkdir()
    (sources / "forward-pass.md").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(SourceError):
        build.publish(published, sources)
    assert list(published.glob("*.ipynb")) == []


def test_publishing_twice_writes_once_and_removes_what_has_no_source(tmp_path):
    (tmp_path / "old.ipynb").write_text("{}")
    paths = build.publish(tmp_path)
    assert sorted(p.stem for p in tmp_path.glob("*.ipynb")) == sorted(NAMES)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in paths}
    build.publish(tmp_path)
    assert {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in paths} == before
    assert {len({c["id"] for c in nbformat.read(p, 4).cells}) == len(nbformat.read(p, 4).cells) for p in paths} == {
        True
    }

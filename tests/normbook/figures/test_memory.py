import numpy as np
import pytest

from normbook.figures.memory import (
    MIB,
    draw_accumulation,
    draw_agreement,
    draw_course,
    draw_memory,
    draw_pieces,
    draw_time,
)
from normcore import batch_norm, instance_norm


def test_memory_lines_have_the_measured_slopes():
    saved = {"none": [MIB, 2 * MIB, 4 * MIB], "BN": [2 * MIB, 4 * MIB, 8 * MIB]}
    fig = draw_memory([1, 2, 4], saved, {32: 100 * MIB, 64: 164 * MIB, 128: 292 * MIB})
    left, right = fig.axes
    assert left.get_lines()[1].get_ydata().tolist() == [2, 4, 8]
    assert right.get_lines()[1].get_ydata().tolist() == [100, 164, 292]
    assert fig.numbers == "saved, MiB per image: none 1.00, BN 2.00; the process grows by 2.0 MiB per image"


def test_a_course_is_a_staircase_in_blocks():
    courses = {"none": ([0, 0, 4, 8, 15], [0, 8 * MIB, 16 * MIB, 8 * MIB, 0], 8)}
    fig = draw_course(courses, images=8)
    (stairs, turn) = fig.axes[0].get_lines()
    np.testing.assert_allclose(stairs.get_xdata(), [0, 0, 2, 4, 7.5, 8])  # eight layers are four blocks
    np.testing.assert_allclose(stairs.get_ydata(), [0, 1, 2, 1, 0, 0])
    assert turn.get_xdata()[0] == 4
    assert [t.get_text() for t in fig.axes[0].get_xticklabels()] == list("012343210")
    assert fig.numbers == "at the turn, MiB per image: none 2.00"


def test_time_is_that_of_the_fastest_repeat():
    seconds = np.array([[0.001, 0.004], [0.002, 0.008], [0.009, 0.005]])
    fig = draw_time([1, 8], seconds)
    step, image = fig.axes
    np.testing.assert_allclose(step.get_lines()[0].get_ydata(), [1, 4])
    np.testing.assert_allclose(image.get_lines()[0].get_ydata(), [1, 0.5])
    assert fig.numbers == "an image takes 1.0 ms alone, 0.50 ms in a batch of 8 (fastest of 3 repeats)"


@pytest.mark.parametrize(("parts", "said"), [(1, "1 micro-batch;"), (4, "4 micro-batches;")])
def test_accumulated_gradients_lie_where_they_were_measured(parts, said):
    full = {"BN": np.array([3.0, 4.0]), "IN": np.array([1.0, 2.0])}
    accumulated = {1: full, 4: {"BN": np.array([3.0, 3.0]), "IN": np.array([1.0, 2.0])}}
    fig = draw_accumulation(full, accumulated, parts)
    points = fig.axes[0].get_lines()[1]
    assert points.get_xdata().tolist() == [3, 4]
    assert points.get_ydata().tolist() == accumulated[parts]["BN"].tolist()
    assert fig.numbers.startswith(said)
    assert fig.numbers.endswith(f"BN {'0' if parts == 1 else '20%'}, IN 0")


def test_agreement_names_the_worst_of_each_way():
    fig = draw_agreement(["y", "dx"], {"shared": [0.0, 2e-16], "alone": [0.5, 0.25]})
    assert fig.numbers == "shared: at most 2.0×10⁻¹⁶; alone: at most 0.50"
    marks = fig.axes[0].get_lines()
    assert marks[0].get_xdata().tolist() == [1e-18, 0.5]  # zero has no place on a logarithmic axis
    assert marks[1].get_xdata().tolist() == [2e-16, 0.25]


def test_pieces_have_statistics_of_their_own():
    images = np.random.default_rng(0).uniform(size=(4, 3, 8, 6)) * np.array([0.2, 0.4, 0.6, 1])[:, None, None, None]
    said = [draw_pieces(images, pieces).numbers for pieces in (1, 2, 4)]
    assert said[0] == "1 piece of 4 images; the outputs differ from those of the whole batch by 0.00"
    away = np.sqrt(np.mean((instance_norm(images)[0] - batch_norm(images)[0]) ** 2))
    assert said[2] == f"4 pieces of 1 image; the outputs differ from those of the whole batch by {away:.2f}"
    assert said[1].startswith("2 pieces of 2 images; ") and len(set(said)) == 3

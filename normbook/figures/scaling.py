"""Pictures of the chapter ``scaling``: two features on two scales."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from normbook.data import Cars
from normbook.evidence import grouped, interval
from normbook.style import BLUE, GRAY, GREEN, INK, ORANGE, Figure, figure, picture, scientific

Array = npt.NDArray[np.float64]


@picture
def draw_cars(cars: Cars) -> Figure:
    """Price against each feature, with the feature's range."""
    fig, axes = figure(2.7, columns=2, sharey=True)
    price = cars.price / 1000
    for ax, values, label in zip(
        axes, (cars.distance / 1000, cars.age), ("distance (1000 km)", "age (years)"), strict=True
    ):
        ax.plot(values, price, "o", color=BLUE, markersize=3.5, alpha=0.7)
        ax.set(xlabel=label)
    axes[0].set_ylabel("price (1000 euros)")
    distance, age = np.corrcoef([cars.distance, cars.age, cars.price])[2, :2]
    return fig.describe(
        f"Two scatter plots of {len(price)} used cars. The price falls with the distance driven "
        f"(correlation {distance:.2f}) and with the age (correlation {age:.2f}).",
        f"distance {grouped(cars.distance.min())} to {grouped(cars.distance.max())} km; "
        f"age {cars.age.min():.0f} to {cars.age.max():.0f} years",
    )


@picture
def draw_descent(cars: Cars, unit: float | None, rate: float, steps: int = 100) -> Figure:
    """Gradient descent on the squared error of price ≈ w₁ distance + w₂ age: the path, and the error left over.

    Both axes of the left panel are w·σ, euros per typical difference of the feature.  A change of unit changes w and
    σ in opposite ways, so the contours stand still; only the path depends on the unit.

    Parameters
    ----------
    unit
        The unit of distance in km; None divides both features by their standard deviation instead.
    rate
        Learning rate as a multiple of 2/λmax, the rate above which descent diverges.
    """
    features = np.stack([cars.distance / (unit or cars.distance.std()), cars.age / (1 if unit else cars.age.std())], 1)
    features = features - features.mean(0)
    price = cars.price - cars.price.mean()
    hessian = features.T @ features / len(price)
    best = np.linalg.solve(hessian, features.T @ price / len(price))
    smallest, largest = np.linalg.eigvalsh(hessian)
    path = [np.zeros(2)]
    for _ in range(steps):
        path.append(path[-1] - rate * 2 / largest * hessian @ (path[-1] - best))
    sigma = features.std(0)
    way, goal = np.array(path) * sigma, best * sigma
    correlation = np.corrcoef(features.T)
    left_over = np.sqrt(np.einsum("ti,ij,tj->t", way - goal, correlation, way - goal))  # euros, root of the mean square

    fig, (plane, error) = figure(3.1, columns=2, width_ratios=(1.15, 1))
    x, y = np.meshgrid(np.linspace(-9000, 1500, 121), np.linspace(-9000, 1500, 121))
    off = np.stack([x - goal[0], y - goal[1]], axis=-1)
    height = np.sqrt(np.einsum("...i,ij,...j->...", off, correlation, off))
    plane.contour(x, y, height, levels=np.arange(1000, 15000, 1500), colors=GRAY, linewidths=0.8)
    inside = np.cumprod(np.abs(way).max(axis=1) < 50_000).astype(bool)  # a path that leaves is drawn so far
    plane.plot(*way[inside].T, ".-", color=ORANGE, linewidth=1.2, markersize=4, label="descent")
    plane.plot(*way[0], "s", color=BLUE, label="start")
    plane.plot(*goal, "*", color=GREEN, markersize=13, label="lowest error")
    ticks = (-8000, -4000, 0)
    plane.set(xlim=(-9000, 1500), ylim=(-9000, 1500), aspect="equal", xticks=ticks, yticks=ticks)
    plane.set_xlabel("w·σ of distance (euros)")
    plane.set_ylabel("w·σ of age (euros)")
    plane.grid(False)
    error.semilogy(np.clip(left_over, 1e-3, 1e7), color=ORANGE)
    error.set(xlim=(0, steps), ylim=(0.05, 1e5), xlabel="step", ylabel="error left over (euros)")
    fig.legend(*plane.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    where = f"distance counted in {grouped(unit)} km" if unit else "both features divided by their standard deviation"
    end = (
        f"{scientific(left_over[-1])} of {grouped(left_over[0])} euros are left over"
        if left_over[-1] < left_over[0]
        else "the error has grown: it diverges"
    )
    return fig.describe(
        f"Left: contour lines of the error over the two weights, each times the spread of its feature, the same "
        f"ellipses for every unit; a path of {steps} steps of gradient descent from zero, with {where}. Right: the "
        f"error left over against the step. At the end {end}.",
        f"condition number {scientific(largest / smallest)}; after {steps} steps {end}",
    )


@picture
def draw_neighbors(cars: Cars, k: int = 5, chosen: int | None = None) -> Figure:
    """The k cars most like one car, by distance in kilometers and by distance in standard deviations."""
    features = np.stack([cars.distance, cars.age], axis=1)
    if chosen is None:  # the car in the middle of the crowd
        chosen = int(np.argmin(np.square((features - np.median(features, 0)) / features.std(0)).sum(1)))
    fig, axes = figure(2.8, columns=2, sharex=True, sharey=True)
    spans = []
    for ax, by, title in zip(axes, (1, features.std(0)), ("in km and years", "in standard deviations"), strict=True):
        squared = np.square((features - features[chosen]) / by).sum(1)
        near = np.argsort(squared)[1 : k + 1]
        ax.plot(features[:, 0] / 1000, features[:, 1], "o", color=GRAY, markersize=3, alpha=0.5, label="other cars")
        ax.plot(features[near, 0] / 1000, features[near, 1], "o", color=ORANGE, markersize=6, label=f"{k} nearest")
        ax.plot(features[chosen, 0] / 1000, features[chosen, 1], "*", color=BLUE, markersize=12, label="this car")
        ax.set(xlabel="distance (1000 km)")
        ax.set_title(title)
        spans.append(float(np.abs(features[near, 1] - features[chosen, 1]).max()))
    axes[0].set_ylabel("age (years)")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return fig.describe(
        f"Cars in the plane of distance and age. With raw numbers the {k} nearest cars have nearly the same distance "
        f"and ages up to {spans[0]:.1f} years apart; after scaling they are close in both, at most {spans[1]:.1f} "
        "years.",
        f"largest difference in age among the {k} nearest: {spans[0]:.1f} years raw, {spans[1]:.1f} years scaled",
    )


@picture
def draw_limits(units: Array, theory: Array, measured: Array) -> Figure:
    """The learning rate at which descent begins to diverge, against the unit of distance."""
    fig, ax = figure(2.8)
    ax.loglog(units, theory, "-", color=INK, linewidth=1.2, label="theory: 2/λmax")
    ax.loglog(units, measured, "o", color=ORANGE, label="measured")
    ax.set(xlabel="unit of distance (km)", ylabel="largest learning rate")
    ax.legend()
    off = np.abs(measured / theory - 1).max()
    return fig.describe(
        "The largest usable learning rate against the unit of distance, both on logarithmic axes: it rises with the "
        "square of the unit until age sets the limit. Measured points lie on the line 2/λmax.",
        f"from {scientific(measured.min())} to {scientific(measured.max())}; "
        f"theory and measurement differ by at most {100 * off:.1f}%",
    )


@picture
def draw_errors(methods: list[str], raw: Array, scaled: Array) -> Figure:
    """Test errors of several methods on raw and on standardized features: mean and 95% interval.

    ``raw`` and ``scaled`` are arrays (methods, repeats) in euros.
    """
    fig, ax = figure(2.9)
    place = np.arange(len(methods))[::-1]
    for errors, shift, marker, color, name in (
        (raw, 0.12, "o", ORANGE, "raw"),
        (scaled, -0.12, "s", BLUE, "standardized"),
    ):
        mean, half = np.transpose([interval(row) for row in errors])
        ax.errorbar(mean, place + shift, xerr=half, fmt=marker, color=color, markersize=5, capsize=4, label=name)
    ax.set_yticks(place, methods)
    ax.set(xlabel="test error (euros, root of the mean square)", ylim=(-0.6, len(methods) - 0.4))
    ax.set_xlim(left=0)
    fig.legend(loc="outside upper center", ncols=2)
    said = "; ".join(
        f"{m}: {grouped(r)} raw, {grouped(s)} standardized"
        for m, r, s in zip(methods, raw.mean(1), scaled.mean(1), strict=True)
    )
    return fig.describe(
        f"Test errors of {len(methods)} methods, with bars of the 95% interval over splits. {said}.", said
    )


@picture
def draw_penalties(penalties: Array, raw: Array, scaled: Array, plain: float) -> Figure:
    """Test error of ridge regression against its penalty, raw and standardized; the error of least squares beside.

    ``raw`` and ``scaled`` are arrays (penalties, repeats) in euros.
    """
    fig, ax = figure(2.9)
    for errors, color, line, name in ((raw, ORANGE, "-", "raw (km, years)"), (scaled, BLUE, "--", "standardized")):
        mean, half = np.transpose([interval(row) for row in errors])
        ax.plot(penalties, mean, line, color=color, label=name)
        ax.fill_between(penalties, mean - half, mean + half, color=color, alpha=0.2, linewidth=0)
    ax.axhline(plain, color=GRAY, linestyle=":", label="least squares")
    ax.set(xscale="log", xlabel="penalty λ", ylabel="test error (euros)")
    ax.set_ylim(bottom=0)
    fig.legend(loc="outside upper center", ncols=3)
    lowest = [errors.mean(1).min() for errors in (raw, scaled)]
    return fig.describe(
        "Test error of ridge regression against the penalty on a logarithmic axis. Both curves begin at the error of "
        "least squares and end at the same level; the raw one rises in two steps, the standardized one in one.",
        f"lowest mean error {grouped(lowest[0])} raw, {grouped(lowest[1])} standardized; "
        f"least squares {grouped(plain)}",
    )

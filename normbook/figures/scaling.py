"""Pictures of the chapter ``scaling``: two features on two scales."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from normbook.data import Cars
from normbook.report import grouped, interval
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
    """Gradient descent on the squared error of price ≈ w₁ distance + w₂ age.

    Parameters
    ----------
    unit
        The unit of distance in km; None divides both features by their standard deviation instead.
    rate
        Learning rate as a multiple of 2/λmax, the rate above which descent diverges.
    """
    features = np.stack(
        [cars.distance / (unit or cars.distance.std()), cars.age / (1 if unit else cars.age.std())], axis=1
    )
    features = features - features.mean(0)
    price = cars.price - cars.price.mean()
    hessian = features.T @ features / len(price)
    best = np.linalg.solve(hessian, features.T @ price / len(price))
    smallest, largest = np.linalg.eigvalsh(hessian)
    path = [np.zeros(2)]
    for _ in range(steps):
        path.append(path[-1] - rate * 2 / largest * hessian @ (path[-1] - best))
    way = np.array(path)
    loss = np.einsum("ti,ij,tj->t", way - best, hessian, way - best)

    fig, ax = figure(3.6)
    half = 1.35 * np.abs(best).max()
    x, y = np.meshgrid(*(np.linspace(b - half, b + half, 121) for b in best))
    error = np.stack([x - best[0], y - best[1]], axis=-1)
    height = np.sqrt(np.einsum("...i,ij,...j->...", error, hessian, error))
    ax.contour(x, y, height, levels=np.linspace(0, height.max(), 9)[1:-1], colors=GRAY, linewidths=0.8)
    shown = way[np.abs(way - best).max(axis=1) < 20 * half]  # a diverging path leaves the picture; so far it is drawn
    ax.plot(*shown.T, ".-", color=ORANGE, linewidth=1.2, markersize=4, label="gradient descent")
    ax.plot(*way[0], "s", color=BLUE, label="start")
    ax.plot(*best, "*", color=GREEN, markersize=13, label="lowest error")
    ax.set(xlim=(best[0] - half, best[0] + half), ylim=(best[1] - half, best[1] + half), aspect="equal")
    ax.set_xlabel(f"weight of distance (euros per {_km(unit)})")
    ax.set_ylabel(f"weight of age (euros per {'year' if unit else 'std.'})")
    fig.legend(loc="outside upper center", ncols=3)
    ax.ticklabel_format(style="plain", useOffset=False)
    ax.grid(False)
    limit = 2 / largest
    come = 100 * way[-1, 1] / best[1]
    end = (
        f"the weight of age stands at {come:.0f}% of its best value"
        if loss[-1] < loss[0]
        else "the error has grown: it diverges"
    )
    shape = "parallel stripes" if largest / smallest > 1000 else "ellipses"
    return fig.describe(
        f"Contour lines of the squared error over the two weights are {shape} when distance counts in {_km(unit)}. "
        f"A path of {steps} steps of gradient descent starts at zero; at its end {end}.",
        f"condition number {scientific(largest / smallest)}; learning rate {scientific(rate * limit, 3)} of at most "
        f"{scientific(limit, 3)}; after {steps} steps {end}",
    )


def _km(unit: float | None) -> str:
    return f"{grouped(unit)} km" if unit else "std."


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

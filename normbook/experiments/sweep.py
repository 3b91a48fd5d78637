"""The comparison of the chapter ``experiments``: which jobs, with which rates, where they run, and what came out.

:data:`LONG` is everything: the small settings, the same questions once more with larger images and a deeper network,
and the search for every learning rate.  Its results come with the package, in one file (:data:`FILE`); ``make sweep``
makes it anew.  :func:`book` is what the book trains anew while it is built, the first seeds of the plain
small settings, and :func:`reported` puts both together.

Needs torch to train, only NumPy to read results.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import platform
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from normbook.experiments import bank, source
from normbook.experiments.bank import NORMS, Array, Job, Norm

#: The results of the long run.
FILE = Path(__file__).with_name("long-run.json")
_BOOK = Path(__file__).resolve().parents[2]  # where the package is not installed but lies in the book's repository
#: Finished jobs, one file each.
CACHE = _BOOK / ".cache" / "sweep" if (_BOOK / "_toc.yml").exists() else Path.home() / ".cache" / "normcore" / "sweep"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A setting of a plan.

    Attributes
    ----------
    name
        What the chapter calls it.
    job
        With the seeds that are reported.  Its rates are where the search begins, or all that is reported.
    choose
        Seeds of their own that choose the learning rate: the one with the best mean accuracy on validation images.
        Where it is the largest or the smallest rate tried, the search goes on beyond.  Empty: nothing is chosen.
    seeds_per_job
        0: all.
    """

    name: str
    job: Job
    choose: tuple[int, ...] = ()
    seeds_per_job: int = 0

    def __post_init__(self) -> None:
        job = self.job
        same = max(1, round(job.alike * job.norm_batch))
        groups = (job.known // job.norm_batch * same - 10 * (same - 1)) // same  # a class may leave some images over
        if groups * job.norm_batch < job.gradient_batch:
            raise ValueError(
                f"{self.name}: {job.known} images fill {max(0, groups)} groups of {job.norm_batch} with {same} of one "
                f"class, too few for a batch of {job.gradient_batch}: want more images or smaller groups"
            )


@dataclasses.dataclass(frozen=True)
class Row:
    """What came out of an entry.

    ``measured`` holds the arrays of :func:`normbook.experiments.bank.train`, all seeds together; where a rate was
    chosen (``rate``), it is that rate's alone and the axis of rates is gone: ``measured["test"]`` is (seeds,).
    ``tried`` is the search: rate → mean accuracy on the validation images of the seeds that chose.
    """

    job: Job
    measured: dict[str, Array]
    rate: float | None
    tried: dict[float, float]

    def steps_to(self, accuracy: float) -> Array:
        """Steps until the validation accuracy reaches ``accuracy``: (seeds, rates), inf for never.

        Between two checks the accuracy is taken as linear in the logarithm of the step.
        """
        curves = self.measured["validation"]
        reached = curves >= accuracy
        steps = np.full(reached.shape[:-1], np.inf)
        at = np.log(self.job.check_steps)
        for index in np.argwhere(reached.any(axis=-1)):
            curve = curves[tuple(index)]
            now = int((curve >= accuracy).argmax())
            if now == 0:
                steps[tuple(index)] = self.job.check_steps[0]
            else:
                part = (accuracy - curve[now - 1]) / (curve[now] - curve[now - 1])
                steps[tuple(index)] = np.exp(at[now - 1] + part * (at[now] - at[now - 1]))
        return steps

    def fewest_steps(self, accuracy: float) -> Array:
        """:meth:`steps_to` for each seed, at the rate that is fastest for the *other* seeds: (seeds,).

        A rate counts only if all the others arrive.
        """
        steps = np.log(self.steps_to(accuracy))
        others = [np.delete(steps, seed, axis=0).mean(axis=0).argmin() for seed in range(len(steps))]
        fewest: Array = np.exp(steps[np.arange(len(steps)), others])
        return fewest

    def largest_rate(self, accuracy: float) -> Array:
        """The largest rate whose network still ends at ``accuracy`` or more: (seeds,), nan if none does."""
        usable = self.measured["validation"][..., -1] >= accuracy
        rates = np.where(usable, self.job.rates, -np.inf).max(axis=-1)
        return np.where(np.isfinite(rates), rates, np.nan)


Plan = tuple[Entry, ...]
Results = dict[str, Row]

SIDE_BY_SIDE = 3  # seeds of a small setting that are one job: together they take little longer than one
ANEW = 2  # the first of them, which the book trains while it is built (alone, a network is rounded in another way)
KEPT = ("to the end", "contrast", "shortcuts")  # settings that it does not train

_CHOOSE = tuple(range(100, 108))  # with two of them neighboring rates were told apart by 0.2 points, and wrongly
_CHOOSE_LARGE = _CHOOSE[:4]
_BN: Norm = "BN"
_SMALL: dict[str, Any] = {"data": "fashion", "images": 9600, "strides": (2, 1, 1, 1, 1, 2, 1, 1)}
_LARGE: dict[str, Any] = {
    "data": "fashion-28",
    "images": 19_200,
    "strides": (2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1),
    "gradient_batch": 128,
    "norm_batch": 128,
    "known": 9600,
    "chosen": 2000,
    "tested": 4000,
}
_DIGITS: dict[str, Any] = {
    "data": "digits",
    "strides": (1, 2, 1, 1, 1),
    "width": 8,
    "known": 1000,
    "chosen": 297,
    "tested": 500,
}


def _start(norm: Norm, factor: float = 1.0) -> tuple[float, ...]:
    """Three rates, a factor of three apart, where the search for the best begins."""
    middle = 0.01 if norm == "none" else 0.03
    return tuple(float(f"{factor * middle * 3.0**k:.3g}") for k in (-1, 0, 1))


def _regimes(
    common: dict[str, Any], norm_batches: Sequence[int], seeds: int, factor: float, choose: tuple[int, ...], full: bool
) -> Iterator[Entry]:
    """Norm batches on plain data, without and with shortcuts; random contrasts; groups of eight images of one class.

    Without ``full`` only what decides, and more seeds where instance norm meets batch norm on plain data: twice as many
    at the largest norm batch, four times at 2.
    """
    largest = norm_batches[-1]

    def entry(name: str, norm: Norm, times: int = 1, **more: Any) -> Entry:
        job = Job(norm=norm, rates=_start(norm, factor), seeds=tuple(range(times * seeds)), **(common | more))
        return Entry(name, job, choose, seeds_per_job=1 if full else SIDE_BY_SIDE)

    without: tuple[Norm, ...] = ("none", "IN", "GN", "LN")
    for norm in without:
        yield entry(f"plain {norm}", norm, 1 if full or norm != "IN" else 4)
    for group in norm_batches:
        yield entry(f"plain BN {group}", "BN", 1 if full else {2: 4, largest: 2}.get(group, 1), norm_batch=group)
    for norm in without if full else without[:2]:
        yield entry(f"shortcuts {norm}", norm, residual=True)
    for group in norm_batches if full else (2, largest):
        yield entry(f"shortcuts BN {group}", "BN", norm_batch=group, residual=True)
    for norm in without[:3] if full else without[:2]:
        yield entry(f"contrast {norm}", norm, contrast=0.8)
    for group in (2, largest):
        yield entry(f"contrast BN {group}", "BN", contrast=0.8, norm_batch=group)
    if not full:
        yield entry("weak contrast IN", "IN", contrast=0.2)
        for group in (2, largest):
            yield entry(f"weak contrast BN {group}", "BN", contrast=0.2, norm_batch=group)
    for share in (0.5, 0.75, 1.0) if full else (0.5, 1.0):
        yield entry(f"alike {share:g} BN", "BN", alike=share, norm_batch=8)
    for norm in without[1:3] if full else without[1:2]:
        yield entry(f"alike 1 {norm}", norm, alike=1.0, norm_batch=8)


def _to_the_end(
    name: str, common: dict[str, Any], seeds: tuple[int, ...], choose: tuple[int, ...], norms: Sequence[Norm] = NORMS
) -> Iterator[Entry]:
    """A thousand images, passed 48 times in batches of 16: until every network fits them."""
    for norm, group in [*((norm, 16) for norm in norms), (_BN, 4)]:
        job = Job(
            norm=norm, norm_batch=group, gradient_batch=16, images=48_000, rates=_start(norm), seeds=seeds, **common
        )
        yield Entry(f"{name} to the end {norm}{f' {group}' if norm == 'BN' else ''}", job, choose, SIDE_BY_SIDE)


def _rates(name: str, common: dict[str, Any], seeds: tuple[int, ...]) -> Iterator[Entry]:
    """Ten learning rates, each twice the one before, constant and without momentum; accuracy measured on the way."""
    rates = tuple(2.0**k for k in range(-7, 3))
    for norm in NORMS:
        job = Job(norm=norm, rates=rates, seeds=seeds, checks=12, momentum=0.0, cosine=False, **common)
        yield Entry(f"{name} rates {norm}", job, seeds_per_job=SIDE_BY_SIDE)


def _small() -> Plan:
    """The settings of the page's own run."""
    return (
        *_regimes(_SMALL, (1, 2, 4, 8, 32), 6, 1.0, _CHOOSE, full=False),
        *_to_the_end("digits", _DIGITS, tuple(range(8)), _CHOOSE, ("none", "BN", "IN")),
        *_rates("digits", _DIGITS | {"images": 4800}, tuple(range(6))),
        *_small_on_digits(),
    )


def _small_on_digits() -> Iterator[Entry]:
    """What decides about small norm batches and images that are alike, on the digits."""
    settings: dict[str, tuple[Norm, dict[str, Any]]] = {
        "plain IN": ("IN", {}),
        "plain BN 1": ("BN", {"norm_batch": 1}),
        "plain BN 2": ("BN", {"norm_batch": 2}),
        "plain BN 8": ("BN", {"norm_batch": 8}),
        "alike 1 IN": ("IN", {"alike": 1.0, "norm_batch": 8}),
        "alike 1 BN": ("BN", {"alike": 1.0, "norm_batch": 8}),
        "contrast IN": ("IN", {"contrast": 0.8}),
        "contrast BN 2": ("BN", {"contrast": 0.8, "norm_batch": 2}),
        "contrast BN 32": ("BN", {"contrast": 0.8}),
        "weak contrast IN": ("IN", {"contrast": 0.2}),
        "weak contrast BN 2": ("BN", {"contrast": 0.2, "norm_batch": 2}),
        "weak contrast BN 32": ("BN", {"contrast": 0.2}),
    }
    for name, (norm, more) in settings.items():
        job = Job(norm=norm, images=9600, rates=_start(norm), seeds=tuple(range(12)), **_DIGITS, **more)
        yield Entry(f"digits {name}", job, _CHOOSE, SIDE_BY_SIDE)


_CLOTHES: dict[str, Any] = {"data": "fashion", "strides": (2, 1, 2, 1, 1), "width": 8, "known": 1000}
#: The small settings, then everything once more at a larger scale.
LONG: Plan = (
    *_small(),
    *(
        dataclasses.replace(entry, name=f"28 {entry.name}")
        for entry in _regimes(_LARGE, (1, 2, 4, 8, 32, 128), 5, 5 / 3, _CHOOSE_LARGE, full=True)
    ),
    *_to_the_end("clothes", _CLOTHES, (0, 1, 2, 3, 4, 5), _CHOOSE),
    *_rates("clothes", _SMALL | {"images": 6400}, (0, 1, 2, 3, 4)),
)


def book() -> Plan:
    """What the book trains, at the rates that other seeds chose: the first seeds of small settings.

    Of the settings that ``KEPT`` names the file has all seeds, so that a build takes minutes.  They are trained all
    the same, and more seeds of each, where the file cannot help, since its numbers are of other code or data.
    """
    chosen = {name: row.rate for name, row in read().items()}
    helps = _of_this_code()
    plan = []
    for entry in _small():
        if helps and any(kind in entry.name for kind in KEPT):
            continue
        rate = chosen[entry.name]
        rates = entry.job.rates if rate is None else (rate,)
        seeds = entry.job.seeds[: ANEW if helps else SIDE_BY_SIDE]
        plan.append(Entry(entry.name, dataclasses.replace(entry.job, rates=rates, seeds=seeds)))
    return tuple(plan)


def _of_this_code(file: Path = FILE) -> bool:
    head = json.loads(file.read_text("utf8"))
    return all(head[name] == value for name, value in fingerprints().items())


def reported(own: Results, file: Path = FILE, plan: Plan = LONG) -> Results:
    """The rows of ``own`` with the further seeds that the file has, and the small settings that it has alone.

    Numbers of other code or data would be another experiment: if the file's are not those of this process, ``own``
    stays alone.
    """
    if not _of_this_code(file):
        return own
    rows, small = {}, {entry.name for entry in _small()}
    for name, whole in read(file, plan).items():
        if name in own:
            row, count = own[name], len(own[name].job.seeds)
            measured = {k: np.concatenate([row.measured[k], whole.measured[k][count:]]) for k in row.measured}
            job = dataclasses.replace(row.job, seeds=row.job.seeds + whole.job.seeds[count:])
            rows[name] = Row(job, measured, row.rate, whole.tried)
        elif name in small:
            rows[name] = whole
    return rows


def agree(own: Results, long: Results) -> tuple[int, int, float]:
    """Of how many networks the test accuracies are the file's to the last bit, of how many, the largest difference."""
    pairs = [(row.measured["test"], long[name].measured["test"][: len(row.job.seeds)]) for name, row in own.items()]
    apart = np.concatenate([np.abs(here - there).ravel() for here, there in pairs])
    return int((apart == 0).sum()), apart.size, float(apart.max())


def fingerprints() -> dict[str, str]:
    """SHA-256 of what decides the numbers beside a job: the code and the data."""
    return {"code": source.code(bank.__file__), "data": source.data()}


def machine() -> dict[str, str]:
    """What the last bit of a number depends on: the versions, and the instructions that torch takes."""
    import torch

    return {
        "numpy": version("numpy"),
        "torch": version("torch").partition("+")[0],
        "instructions": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


def key(job: Job) -> str:
    """A name that is the same only for the same job, code, data, versions and instructions."""
    parts = [dataclasses.asdict(job), fingerprints(), machine()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


Done = dict[str, Any]  # of a job: its key, "measured" as lists, "seconds" of the processor


def do(job: Job) -> Done:
    """Run a job, in whatever process."""
    start = time.thread_time()
    measured = {name: values.tolist() for name, values in bank.train(job).items()}
    return {"key": key(job), "measured": measured, "seconds": round(time.thread_time() - start, 2)}


def run_jobs(
    jobs: Iterable[Job],
    cache: Path | None = CACHE,
    workers: int | None = None,
    scheduler: str | None = None,
) -> dict[Job, Done]:
    """All jobs, each once; those that the cache holds are not run again.

    Parameters
    ----------
    cache
        Folder for finished jobs, None for none.  Who interrupts a run and starts it again goes on where it was.
    workers
        Processes of this machine, one thread each; by default one for each processor.
    scheduler
        Address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``; its workers then take the place of the processes.

    Raises
    ------
    RuntimeError
        if a worker has other code, data or versions than this process.
    """
    todo = list(dict.fromkeys(jobs))
    done: dict[Job, Done] = {}
    for job in todo:
        file = cache / f"{key(job)}.json" if cache else None
        if file and file.exists():
            done[job] = json.loads(file.read_text("utf8"))
    todo = [job for job in todo if job not in done]
    todo.sort(key=lambda job: (-_effort(job), job.seeds))  # the long ones first, so that none ends late
    if not todo:
        return done
    results = _on_cluster(todo, scheduler) if scheduler else _in_processes(todo, workers)
    quiet = "NORMCORE_BOOK" in os.environ  # nobody waits for a bar while the book is built
    for job, found in tqdm(results, desc="training", total=len(todo), delay=2, leave=False, disable=quiet):
        if found["key"] != key(job):
            raise RuntimeError("a worker has other code, data or versions than this process: install the same there")
        done[job] = found
        if cache:
            cache.mkdir(parents=True, exist_ok=True)
            unfinished = cache / f"{found['key']}.{os.getpid()}.tmp"
            unfinished.write_text(json.dumps(found), "utf8")
            unfinished.replace(cache / f"{found['key']}.json")  # nobody ever reads half a file
    return done


def _effort(job: Job) -> int:
    """Roughly, to put the long jobs first."""
    pixels = {"digits": 64, "fashion": 196, "fashion-28": 784}[job.data]
    return pixels * job.images * len(job.rates) * len(job.seeds)


def _in_processes(jobs: Sequence[Job], workers: int | None) -> Iterator[tuple[Job, Done]]:
    from concurrent.futures import as_completed  # not in a browser, where results are only read

    from normbook.experiments.processes import processes

    with processes(min(workers or os.cpu_count() or 1, len(jobs))) as pool:
        running = {pool.submit(do, job): job for job in jobs}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _on_cluster(jobs: Sequence[Job], scheduler: str) -> Iterator[tuple[Job, Done]]:
    """A worker that dies loses only what it was doing: the scheduler gives it to another one."""
    try:
        from dask import distributed
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("a Dask cluster needs the extra: pip install 'normcore[cluster]'") from error
    with distributed.Client(scheduler) as client:  # type: ignore[no-untyped-call]
        running = {client.submit(do, job, key=f"normcore-{key(job)}", retries=2): job for job in jobs}
        finished = distributed.as_completed(list(running), with_results=True)  # type: ignore[no-untyped-call]
        for future, found in finished:
            yield running[future], found


def run(
    plan: Plan | None = None,
    cache: Path | None = CACHE,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Results:
    """A whole plan, by default the book's: first the rates are chosen, then every entry is run at its rate."""
    plan = book() if plan is None else plan
    tried: dict[str, dict[float, float]] = {entry.name: {} for entry in plan}
    asked = {entry: entry.job.rates for entry in plan if entry.choose}
    while asked:
        jobs = {e: dataclasses.replace(e.job, rates=rates, seeds=e.choose, tested=0) for e, rates in asked.items()}
        done = run_jobs(jobs.values(), cache, workers, scheduler)
        further: dict[Entry, tuple[float, ...]] = {}
        for entry, job in jobs.items():
            accuracy = np.array(done[job]["measured"]["validation"])[..., -1].mean(axis=0)
            tried[entry.name] |= dict(zip(job.rates, accuracy.tolist(), strict=True))
            if more := beyond(tried[entry.name]):
                further[entry] = (more,)
        asked = further

    final: dict[Entry, list[Job]] = {}
    for entry in plan:
        rates = (best(tried[entry.name]),) if entry.choose else entry.job.rates
        size = entry.seeds_per_job or len(entry.job.seeds)
        seeds = [entry.job.seeds[k : k + size] for k in range(0, len(entry.job.seeds), size)]
        final[entry] = [dataclasses.replace(entry.job, rates=rates, seeds=some) for some in seeds]
    done = run_jobs((job for jobs in final.values() for job in jobs), cache, workers, scheduler)
    rows = {}
    for entry in plan:
        parts = [done[job]["measured"] for job in final[entry]]
        measured = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        rate = best(tried[entry.name]) if entry.choose else entry.job.rates[0] if len(entry.job.rates) == 1 else None
        if rate is not None:
            measured = {name: values[:, 0] for name, values in measured.items()}
        rows[entry.name] = Row(entry.job, measured, rate, tried[entry.name])
    return rows


def best(tried: dict[float, float]) -> float:
    """The rate with the highest accuracy, the smaller one of two equals."""
    return max(sorted(tried), key=lambda rate: tried[rate])


def beyond(tried: dict[float, float]) -> float | None:
    """The next rate to try, where the best one is the largest or the smallest of those tried; else None."""
    rates = sorted(tried)
    factor = rates[1] / rates[0]
    if best(tried) == rates[0]:
        return float(f"{rates[0] / factor:.3g}")
    if best(tried) == rates[-1]:
        return float(f"{rates[-1] * factor:.3g}")
    return None


def write(plan: Plan, results: Results, file: Path) -> None:
    """Results as one file, with the hashes of code, plan and data, and the machine that they were made on."""
    entries = [
        {
            "name": entry.name,
            "rate": results[entry.name].rate,
            "tried": [[rate, accuracy] for rate, accuracy in sorted(results[entry.name].tried.items())],
            "measured": {name: values.tolist() for name, values in results[entry.name].measured.items()},
        }
        for entry in plan
    ]
    head = {
        "what": "results of the long run of normbook.experiments.sweep, made by `make sweep`",
        **fingerprints(),
        "plan": plan_key(plan),
        **machine(),
    }
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    file.write_text(json.dumps(head, indent=0)[:-2] + f',\n"entries": [\n{lines}\n]}}\n', "utf8")


def plan_key(plan: Plan) -> str:
    """SHA-256 of a plan."""
    return hashlib.sha256(json.dumps([dataclasses.asdict(entry) for entry in plan]).encode()).hexdigest()


def read(file: Path = FILE, plan: Plan = LONG) -> Results:
    """The results of the long run, as they come with the package."""
    entries = json.loads(file.read_text("utf8"))["entries"]
    jobs = {entry.name: entry.job for entry in plan}
    return {
        e["name"]: Row(
            jobs[e["name"]],
            {name: np.array(values) for name, values in e["measured"].items()},
            e["rate"],
            {rate: accuracy for rate, accuracy in e["tried"]},
        )
        for e in entries
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The long run: train what the cache does not hold, write the file that comes with the package, print a table."""
    from normbook.evidence import spread

    parser = argparse.ArgumentParser(prog="python -m normbook.experiments.sweep", description=main.__doc__)
    parser.add_argument("--scheduler", help="address of a Dask scheduler, tcp://…; without it: processes")
    parser.add_argument("--workers", type=int, help="how many processes; by default one for each processor")
    asked = parser.parse_args(arguments)
    results = run(LONG, CACHE, asked.workers, asked.scheduler)
    write(LONG, results, FILE)
    for name, row in results.items():
        test = spread(100 * row.measured["test"], 1, "%") if row.rate else ""
        print(f"{name:<28}{f'rate {row.rate:g}' if row.rate else '':<14}{test}")


__all__ = ["CACHE", "FILE", "LONG", "Entry", "Plan", "Results", "Row", "agree", "book", "read", "reported", "run",
           "run_jobs", "write"]


if __name__ == "__main__":
    main()

"""The bank of questions: ``book/questions/CHAPTER.yml``, read, executed and checked.  Knows no Sphinx.

A file has ``given``, a program that all its questions share, and ``questions``.  NumPy (``np``) and the functions of
``normcore`` are there already.  A question of choice:

    - id: bias
      ask: What does a bias before batch norm do?
      given: |
        x, b = rng.normal(size=(2, 8, 3))
        moved = batch_norm(x + b[0])[0] - batch_norm(x)[0]
      right: {says: Nothing., why: The mean takes it away., holds: "np.allclose(moved, 0)"}
      wrong:
      - {mistake: a shift survives, says: It moves the output., why: …, holds: "not np.allclose(moved, 0)"}

``holds`` is what the option says, as an expression.  Reading the file computes it: it must be True for the right option
and False for a wrong one, or there is no bank.  A question with a number for an answer has ``draw`` in place of
``given``; it is run once for each of its ``VARIANTS`` with another ``rng``:

    - id: rate
      ask: The largest curvature is {=top}. What is the largest learning rate?
      draw: top = rng.integers(2, 9)
      answer: 2 / top
      check: assert descends(top, 0.99 * answer) and not descends(top, 1.01 * answer)
      why: The factor of a step is $1 - \\eta \\cdot {=top}$.
      mistakes:
      - {mistake: the two forgotten, is: 1 / top, why: …}

``check`` is a program that computes the key by another way.  Every text may hold ``{=expression}`` or
``{=expression:format}``.
"""

import functools
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

import normcore

VARIANTS = 3
TOLERANCE = 0.01  # of a number that a reader types, relative; whole numbers are exact
HOLE = re.compile(r"\{=(.+?)(?::([^:{}]*[a-z%]))?\}")


class BankError(Exception):
    """A question that cannot be asked as it stands."""


class Option(NamedTuple):
    """One answer to choose, and what is right or wrong about it."""

    says: str
    why: str
    right: bool
    mistake: str  # the name of the misconception; "" for the right one
    computed: bool  # whether the build has executed it


class Choice(NamedTuple):
    """A question with options, in the order in which they are printed."""

    chapter: str
    id: str
    ask: str
    options: tuple[Option, ...]

    @property
    def key(self):
        """The number of the right option."""
        return next(i for i, option in enumerate(self.options) if option.right)


class Mistake(NamedTuple):
    """A number that a named misconception leads to."""

    value: float
    mistake: str
    why: str


class Variant(NamedTuple):
    """A question for a number, with its numbers."""

    ask: str
    answer: float
    shown: str  # the answer as it is printed
    tolerance: float  # absolute
    why: str
    mistakes: tuple[Mistake, ...]


class Number(NamedTuple):
    """A question for a number, with its numbers drawn several times."""

    chapter: str
    id: str
    variants: tuple[Variant, ...]


CHOICE = {"id", "ask", "given", "right", "wrong"}
NUMBER = {"id", "ask", "draw", "answer", "shown", "tolerance", "check", "why", "mistakes"}


def read(path):
    """The questions of a chapter; BankError for one that is incomplete, has no true key or a true distractor."""
    return list(_read(Path(path), Path(path).stat().st_mtime_ns))


@functools.cache
def _read(path, stamp):
    try:
        file = yaml.safe_load(path.read_text("utf8"))
    except yaml.YAMLError as error:
        raise BankError(f"{path.name}: {error}") from error
    _fields(file, {"given", "questions"}, {"questions"}, path.name)
    shared = _names(0) | {"__name__": path.stem}
    _run(file.get("given", ""), shared, f"{path.name}, given")
    found = []
    for entry in file["questions"]:
        where = f"{path.name}, {entry.get('id', entry)}"
        if "answer" in entry:
            _fields(entry, NUMBER, NUMBER - {"shown", "tolerance", "check"}, where)
            found.append(_number(path.stem, entry, shared, where))
        else:
            _fields(entry, CHOICE, CHOICE - {"given"}, where)
            found.append(_choice(path.stem, entry, shared, where))
    ids = [one.id for one in found]
    if len(set(ids)) != len(ids):
        raise BankError(f"{path.name}: two questions with the same id among {ids}")
    return tuple(found)


def read_all(folder, chapters):
    """{chapter: its questions}, in the order of the chapters."""
    return {chapter: read(Path(folder) / f"{chapter}.yml") for chapter in chapters}


def _choice(chapter, entry, shared, where):
    names = shared | {"rng": np.random.default_rng(0)}
    _run(entry.get("given", ""), names, f"{where}, given")
    if not isinstance(entry["wrong"], list) or len(entry["wrong"]) < 2:
        raise BankError(f"{where}: want at least two wrong options")
    options = []
    for right, told in [(True, entry["right"]), *((False, one) for one in entry["wrong"])]:
        need = {"says", "why"} if right else {"says", "why", "mistake"}
        _fields(told, need | {"holds"}, need, where)
        says, why = (_filled(told[part], names, f"{where}, {part}") for part in ("says", "why"))
        if "holds" in told:
            _verify(told["holds"], names, right, f"{where}: {says!r}")
        options.append(Option(says, why, right, "" if right else _text(told["mistake"], where), "holds" in told))
    for option in options:
        if re.match(r"(\d+[.)]|[-+*#>])(\s|$)", option.says) or "\n\n" in option.says + option.why:
            raise BankError(f"{where}: Markdown reads {option.says!r} as a list or as several paragraphs")
    if len({option.says for option in options}) != len(options):
        raise BankError(f"{where}: two options say the same")
    order = np.random.default_rng(zlib.crc32(f"{chapter}/{entry['id']}".encode())).permutation(len(options))
    return Choice(chapter, entry["id"], _filled(entry["ask"], names, where), tuple(options[i] for i in order))


def _number(chapter, entry, shared, where):
    variants, seed = [], 0
    while len(variants) < VARIANTS:
        names = shared | {"rng": np.random.default_rng(seed)}
        seed += 1
        if seed > 30:
            raise BankError(f"{where}: 30 draws gave only {len(variants)} different questions")
        _run(entry["draw"], names, f"{where}, draw")
        ask = _filled(entry["ask"], names, where)
        if ask in [one.ask for one in variants]:
            continue
        answer = names["answer"] = _value(entry["answer"], names, where)
        exact = float(answer).is_integer() and "tolerance" not in entry
        tolerance = 0.0 if exact else abs(answer) * float(entry.get("tolerance", TOLERANCE))
        _run(entry.get("check", ""), names, f"{where}, check of {ask!r}")
        mistakes = []
        for told in entry["mistakes"]:
            _fields(told, {"mistake", "is", "why"}, {"mistake", "is", "why"}, where)
            value = _value(told["is"], names, where)
            mistakes.append(Mistake(value, _text(told["mistake"], where), _filled(told["why"], names, where)))
        values = [answer, *(one.value for one in mistakes)]
        for i, one in enumerate(values):
            for other in values[i + 1 :]:
                if abs(one - other) <= 2.5 * max(tolerance, 1e-9):
                    raise BankError(f"{where}: {ask!r} cannot tell {one:g} from {other:g}")
        shown = _filled(entry.get("shown", "{=answer:.3g}"), names, where)
        variants.append(Variant(ask, answer, shown, tolerance, _filled(entry["why"], names, where), tuple(mistakes)))
    return Number(chapter, entry["id"], tuple(variants))


def _names(seed):
    public = {name: getattr(normcore, name) for name in normcore.__all__}
    return public | {"np": np, "normcore": normcore, "rng": np.random.default_rng(seed)}


def _fields(entry, allowed, needed, where):
    if not isinstance(entry, dict) or set(entry) - allowed or needed - set(entry):
        seen = sorted(entry) if isinstance(entry, dict) else entry
        more = ", ".join(sorted(allowed - needed)) or "nothing"
        raise BankError(f"{where}: want {', '.join(sorted(needed))} and perhaps {more}, found {seen}")


def _text(value, where):
    if not isinstance(value, str):
        raise BankError(f"{where}: {value!r} is no text: write it in quotes")
    return value.strip()


def _run(code, names, where):
    try:
        exec(compile(code, where, "exec"), names)
    except Exception as error:
        raise BankError(f"{where}: {type(error).__name__}: {error}") from error


def _evaluated(expression, names, where):
    try:
        return eval(compile(str(expression).strip(), where, "eval"), names)
    except Exception as error:
        raise BankError(f"{where}: {expression} raises {type(error).__name__}: {error}") from error


def _verify(expression, names, right, where):
    value = _evaluated(expression, names, where)
    if not isinstance(value, bool | np.bool):
        raise BankError(f"{where}: {expression} is {value!r}, wanted True or False")
    if value != right:
        raise BankError(f"{where} is the key and does not hold" if right else f"{where} is a wrong option and holds")


def _value(expression, names, where):
    value = float(_evaluated(expression, names, where))
    if not np.isfinite(value):
        raise BankError(f"{where}: {expression} is {value}, wanted a number that a reader can type")
    return value


def _filled(text, names, where):
    """A text with its holes filled."""

    def fill(hole):
        value = _evaluated(hole[1], names, where)
        said = format(value, hole[2]) if hole[2] else str(value)
        return said.replace("-", "\N{MINUS SIGN}") if not isinstance(value, str) else said

    return HOLE.sub(fill, _text(text, where))

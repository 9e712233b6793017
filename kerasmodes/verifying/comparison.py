"""Where two runs of the same steps part, and whether rounding alone explains it."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from kerasmodes.engine import model_state
from kerasmodes.verifying.runs import Record

# Of what a variable's largest number is, and of what training has moved it by: both are rounding of
# float32, the second one added up over the terms of a gradient.
PART_OF_VALUE, PART_OF_UPDATE = 2e-6, 1e-3
PART_OF_LOG = 2e-5
# What a log of 0 may be away from another one.
SMALLEST = 1e-7


@dataclasses.dataclass(frozen=True)
class Precision:
    """What counts as rounding in steps that compute in a number type.

    Args:
        shift: How far the start is moved to see what the steps make of rounding, relative to each
            weight. A layer in float16 does not see less than a unit in the last place of float16.
        times: How many times that is still taken for rounding.
        words: The shift in words.
    """

    shift: float
    times: int
    words: str


# From the coarsest on. A sum of float32 in another order is wrong by some units in the last place.
# Sums of the shorter types are mostly added up in float32 and rounded once. In a network with a GRU
# and attention, weights under XLA were at most 4 times as far away as with a start moved by half a
# unit of float16; a loss was 31 times as far as with one of three such starts, 0.9 with the others.
PRECISIONS = {
    "bfloat16": Precision(2.0**-7, 8, "one part in 128, the rounding of bfloat16,"),
    "float16": Precision(2.0**-10, 8, "one part in a thousand, the rounding of float16,"),
    "float32": Precision(1e-7, 30, "one part in ten million"),
}


def find_precision(dtypes: Iterable[str]) -> Precision:
    """Returns the `Precision` of the coarsest of some number types.

    Args:
        dtypes: Names of the types in which the layers of a model compute.
    """
    dtypes = {*dtypes}
    return next((PRECISIONS[one] for one in PRECISIONS if one in dtypes), PRECISIONS["float32"])


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far a run is from another one.

    Args:
        largest: The largest difference of a weight or log, relative to the largest number in it.
        step: The first step, from 1, after which they differ by more than plain rounding; or
            `None`.
        names: Names of the variables and logs that differ then, as the model has them.
        is_rounding: Whether a start that is moved by rounding is as far away.
        is_finite: Whether what one of them has as a number, the other has as a number, too.
    """

    largest: float
    step: int | None = None
    names: tuple = ()
    is_rounding: bool = False
    is_finite: bool = True

    @property
    def is_fault(self) -> bool:
        """Whether they differ by more than rounding explains."""
        return self.step is not None and not self.is_rounding


def compare(
    record: Record,
    other: Record,
    shifted: tuple | None = None,
    precision: Precision = PRECISIONS["float32"],
) -> Difference:
    """Returns how far a record is from another one.

    Args:
        record: The `Record` of a run.
        other: That of the run to which it is compared.
        shifted: Two records of one way, the second one with a start that was moved by rounding.
        precision: The `Precision` of the steps, whose `shift` has moved that start.
    """
    if len(record.names) != len(other.names):
        names = {*record.names} ^ {*other.names}
        return Difference(float("inf"), min(record.steps, default=1), tuple(sorted(names)))
    largest, first, first_rounded, is_finite = 0.0, None, None, True
    for step in sorted(record.steps.keys() & other.steps.keys()):
        parted, rounded = [], []
        for one in _list_values(record, other, shifted, precision.times, step):
            if one.counts:
                largest = max(largest, one.relative)
            if not one.is_equal:
                (rounded if one.is_rounding else parted).append(one.name)
                is_finite &= one.is_finite or first is not None
        if parted and first is None:
            first = step, tuple(parted)
        if rounded and first_rounded is None:
            first_rounded = step, tuple(rounded)
    found = first or first_rounded or (None, ())
    return Difference(largest, *found, is_rounding=first is None, is_finite=is_finite)


def find_broken_step(record: Record) -> tuple[int, str] | None:
    """Returns the first step after which a number is not finite, and its name; or `None`."""
    for step, values in record.steps.items():
        logs = record.logs[step]
        for name, value in (*zip(record.names, values, strict=True), *logs.items()):
            if value is not None and value.dtype.kind == "f" and not np.isfinite(value).all():
                return step, name
    return None


@dataclasses.dataclass(frozen=True)
class _Value:
    """A variable or log of two records after a step."""

    name: str
    counts: bool
    relative: float = 0.0
    is_equal: bool = True
    is_rounding: bool = False
    is_finite: bool = True


def _list_values(record, other, shifted, times, step):
    for place, name in enumerate(other.names):
        pair = record.steps[step][place], other.steps[step][place]
        counts = other.kinds[place] == model_state.WEIGHT
        if pair[0] is None or pair[1] is None:
            yield _Value(name, counts, is_equal=pair[0] is pair[1])
            continue
        start = other.start[place]
        update = _measure(pair[1], 0.0 if start is None else start)
        allowed = PART_OF_VALUE * _measure(pair[1], 0.0) + PART_OF_UPDATE * update
        moved = 0.0
        if shifted and step in shifted[1].steps and len(shifted[1].names) == len(other.names):
            moved = times * _measure(*(one.steps[step][place] for one in shifted))
        yield _compare_values(name, counts, *pair, allowed, moved)
    logs, others = record.logs[step], other.logs[step]
    for name in others:
        if name not in logs:
            yield _Value(f"log {name!r}", True, is_equal=False)
            continue
        moved = 0.0
        if shifted and all(name in one.logs.get(step, ()) for one in shifted):
            moved = times * _measure(*(one.logs[step][name] for one in shifted))
        allowed = PART_OF_LOG * _measure(others[name], 0.0) + SMALLEST
        yield _compare_values(f"log {name!r}", True, logs[name], others[name], allowed, moved)


def _compare_values(name, counts, value, other, allowed, moved):
    if value.shape != other.shape:
        return _Value(name, counts, is_equal=False)
    if value.dtype.kind not in "fc":
        return _Value(name, False, is_equal=bool(np.array_equal(value, other)))
    is_finite = bool(np.array_equal(np.isfinite(value), np.isfinite(other)))
    difference = _measure(value, other)
    size = _measure(other, 0.0)
    return _Value(
        name,
        counts,
        relative=difference / size if size else difference,
        is_equal=is_finite and difference <= allowed,
        is_rounding=is_finite and difference <= allowed + moved,
        is_finite=is_finite,
    )


def _measure(value, other):
    """Returns the largest finite difference of two arrays."""
    if value is None or other is None or np.shape(value) != np.shape(other) != ():
        return 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(np.asarray(value, np.float64) - np.asarray(other, np.float64))
    return float(np.max(difference, initial=0.0, where=np.isfinite(difference)))

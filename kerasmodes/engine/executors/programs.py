"""One program for many shapes where that can be, and no more programs than a bound.

What a program runs is in `loops.py`.
"""

import collections
from typing import Any

import tensorflow as tf

# A graph has so many programs for single shapes (of whole batches, and of a smaller last one, as a
# rule) before one is made for all others. XLA needs one for each; the bound is above the sequence
# lengths of a data set, which come again in each epoch.
EXACT_SHAPES = 2
MOST_PROGRAMS = 128


class Programs:
    """Programs by the shapes of the batches that they run on.

    Args:
        make_program: Function of nested specs of a batch and of the length of a super-batch.
        relaxes_shapes: Whether a program may leave open the sizes in which batches differ, as
            `tf.function(reduce_retracing=True)` does.
    """

    def __init__(self, make_program, relaxes_shapes):
        self._make_program = make_program
        self._relaxes_shapes = relaxes_shapes
        self._programs = collections.OrderedDict()  # The least recently used is first.
        self._families = {}

    def get(self, super_batch: Any):
        """Returns the program for a super-batch, made now if there is none."""
        key = _make_key(super_batch, lambda part: tuple(part.shape[1:]))
        program = self._programs.get(key)
        if program is None or not program.fits(super_batch):
            program = self._programs[key] = self._make(super_batch)
            if len(self._programs) > MOST_PROGRAMS:
                self._programs.popitem(last=False)
        self._programs.move_to_end(key)
        return program

    def _make(self, super_batch):
        specs = find_specs(super_batch)
        if not self._relaxes_shapes:
            return self._make_program(specs, find_length(super_batch))
        family = _make_key(super_batch, lambda part: part.shape.rank)
        if family not in self._families:
            self._families[family] = _Family(self._make_program)
        return self._families[family].make(specs)


class _Family:
    """Programs for batches that differ in sizes only."""

    def __init__(self, make_program):
        self._make_program = make_program
        self._num_shapes = 0
        self._specs = None  # With open sizes.
        self._program = None
        self._is_relaxed = True

    def make(self, specs: Any):
        """Returns a program for specs that have none."""
        self._num_shapes += 1
        specs_before = self._specs
        self._specs = specs if specs_before is None else _merge_specs(specs_before, specs)
        if self._num_shapes <= EXACT_SHAPES or not self._is_relaxed:
            return self._make_program(specs, None)
        if self._program is None or self._specs != specs_before:
            try:
                self._program = self._make_program(self._specs, None)
            except Exception:
                # The step asks for a size in Python. If that was not it, it fails again.
                self._is_relaxed, self._program = False, None
                return self._make_program(specs, None)
        return self._program


def find_specs(super_batch: Any):
    """Returns the nested specs of a super-batch's batches."""
    return _map(lambda part: tf.TensorSpec(part.shape[1:], part.dtype), super_batch)


def find_length(super_batch: Any) -> int:
    """Returns how many batches a super-batch holds."""
    return next(part for part in tf.nest.flatten(super_batch) if part is not None).shape[0]


def _merge_specs(specs, others):
    def merge(spec, other):
        if spec is None:
            return None
        sizes = zip(spec.shape, other.shape, strict=True)
        return tf.TensorSpec([a if a == b else None for a, b in sizes], spec.dtype)

    return tf.nest.map_structure(merge, specs, others)


def _make_key(super_batch, describe):
    # As a string: a batch may be a dictionary.
    return str(_map(lambda part: (part.dtype.name, describe(part)), super_batch))


def _map(function, nested):
    return tf.nest.map_structure(lambda part: None if part is None else function(part), nested)

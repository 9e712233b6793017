"""The runs of one model: each made when it is asked for, and kept."""

import dataclasses
import functools

import numpy as np

from kerasmodes.engine import keras_private
from kerasmodes.verifying import comparison, random_draws
from kerasmodes.verifying.comparison import Difference
from kerasmodes.verifying.recipes import Recipe
from kerasmodes.verifying.runs import Record, Run, Way


class Study:
    """Runs of a recipe, in all ways that a question needs.

    Args:
        recipe: How the model is made and fed.
        reference: The mode to which the others are compared.
    """

    def __init__(self, recipe: Recipe, reference: str) -> None:
        self.recipe, self.reference = recipe, reference
        self._runs, self._records = {}, {}
        self._shifted = {}

    def get_run(self, mode: str) -> Run:
        """Returns the run of a mode, which has run by then."""
        self.get_record(mode)
        return self._runs[mode]

    def get_record(self, mode: str) -> Record:
        """Returns the record of all steps in a mode."""
        if mode not in self._records:
            steps = self.recipe.steps if mode == "fused" else 1
            way = Way(mode, steps_per_execution=steps)
            try:
                run = self._runs[mode] = Run(self.recipe, way, self.start)
                self._records[mode] = self.name(run.train())
            except (TypeError, ValueError, RuntimeError) as failure:
                if mode == self.reference:
                    raise
                words = f"{type(failure).__name__}: {failure}"
                self._records[mode] = Record(way, error=words)
        return self._records[mode]

    def name(self, record: Record) -> Record:
        """Returns a record with the names of the reference: Keras numbers those of each model."""
        names = self._records[self.reference].names if self._records else record.names
        is_alike = len(names) == len(record.names)
        return dataclasses.replace(record, names=names) if is_alike else record

    @property
    def start(self) -> list | None:
        """The values at the start of the reference, as arrays; `None` before it has run."""
        if self.reference not in self._runs:
            return None
        return [np.asarray(value) for value in self._runs[self.reference].start]

    def compare(self, mode: str, other: str) -> Difference:
        """Returns how far a mode is from another one."""
        return self.compare_record(self.get_record(mode), self.get_record(other))

    def compare_record(self, record: Record, other: Record) -> Difference:
        """Returns how far a record is from that of a mode; rounding is measured if it matters."""
        record, other = self.name(record), self.name(other)
        difference = comparison.compare(record, other)
        if difference.step is None:
            return difference
        shifted = self.get_shifted()
        if shifted is None:
            return difference
        return comparison.compare(record, other, shifted, self.precision)

    @functools.cached_property
    def precision(self) -> comparison.Precision:
        """What counts as rounding, by the coarsest number type in which a layer computes."""
        layers = keras_private.find_layers(self.get_run(self.reference).model)
        return comparison.find_precision(layer.compute_dtype for layer in layers)

    def repeat(self, mode: str) -> Difference | None:
        """Returns how far a second run of a mode is from the first, of one start.

        That of `"eager"` is a new model: the first keeps its Python state. `None` if the
        weights at the start are not known.
        """
        if mode == "eager":
            run = Run(self.recipe, Way(mode), self.start)
        else:
            run = self.get_run(mode)
            if not run.rewind():
                return None
        return comparison.compare(run.train(), self.get_record(mode))

    def get_shifted(self) -> tuple[Record, Record] | None:
        """Returns two records of a graph, the second one with a start moved by rounding.

        The graph is traced once: what Python keeps is the same in both.
        """
        if "records" not in self._shifted:
            mode = "graph" if self.get_record("graph").error is None else self.reference
            run = self.get_run(mode)
            found = []
            for shift in (0.0, self.precision.shift):
                if run.rewind(shift):
                    found.append(run.train())
            self._shifted["records"] = tuple(found) if len(found) == 2 else None
        return self._shifted["records"]

    def locate(self, difference: Difference) -> Difference:
        """Returns the difference of `"fused"` with the first step, which a loop does not show."""
        way = Way("fused")
        record = Run(self.recipe, way, self.start).train()
        found = self.compare_record(record, self.get_record(self.reference))
        return found if found.is_fault else difference

    @functools.cached_property
    def draws(self) -> list[random_draws.Draw]:
        """What draws random numbers in a step, other than `km.random`."""
        return random_draws.find_draws(self.recipe, self.get_run(self.reference).model)

    @property
    def differing_draws(self) -> list[random_draws.Draw]:
        """Those of the draws whose numbers depend on the mode, and repeat on each replica."""
        return [draw for draw in self.draws if not draw.is_replaced]

    def find_idle_layers(self) -> set[int]:
        """Returns the places of layers whose draws do not matter to the numbers of a step."""
        run = self.get_run("graph")
        if self.get_record("graph").error is not None or not run.rewind():
            return set()
        generators = random_draws.find_seed_generators(run.model)
        if len(generators) < 2:  # Of one alone it is clear.
            return set()
        expected, idle = run.train(0, 1), set()
        for place, generator in generators.items():
            run.rewind()
            before = generator.state.numpy()
            generator.state.assign(before + np.array([7, 0], before.dtype))
            record = run.train(0, 1)
            trained = [kind == "weight" for kind in record.kinds]
            triples = zip(trained, record.steps[1], expected.steps[1], strict=True)
            if all(np.array_equal(one, other) for is_trained, one, other in triples if is_trained):
                idle.add(place)
        return idle

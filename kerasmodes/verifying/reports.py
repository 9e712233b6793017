"""What a verification has found: a table, a file, and an error for a test."""

import dataclasses
import io
import json
import os

import rich.console
import rich.markup
import rich.table

from kerasmodes import atomic_files

AGREES, ROUNDING, DIFFERS, FAILED = "agrees", "agrees (rounding)", "differs", "fails"
WIDTH = 110
STYLES = {AGREES: "green", ROUNDING: "yellow", DIFFERS: "red", FAILED: "red"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was found of one way of running the steps.

    Args:
        way: A mode, `"2 replicas"`, `"saved and loaded"` or `"data"`.
        verdict: `"agrees"`; `"agrees (rounding)"` where a start that is moved by one part in ten
            million is as far away; `"differs"`; or `"fails"` where it raised.
        difference: The largest difference of a weight or log from the first way, relative to the
            largest number in it; `None` where it is no number.
        step: The first step, from 1, after which it differs; 0 is before the first; or `None`.
        where: Names of the variables and logs that differ then.
        causes: Tuple of the kinds of the causes, of `causes.KINDS`, the first one found first.
        words: The causes in words, and what to change.
    """

    way: str
    verdict: str
    difference: float | None = None
    step: int | None = None
    where: tuple = ()
    causes: tuple = ()
    words: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the numbers are those of the first way, within rounding."""
        return self.verdict in (AGREES, ROUNDING)


@dataclasses.dataclass(frozen=True)
class VerificationReport:
    """What `km.verify` has found. `str()` of it is a table.

    Args:
        model: Name of the model's class.
        reference: The way to which the others are compared.
        steps: Steps that each way has run.
        findings: Tuple of `Finding`, one for each way.
    """

    model: str
    reference: str
    steps: int
    findings: tuple

    @property
    def ok(self) -> bool:
        """Whether all ways have the same numbers, within rounding."""
        return all(finding.is_ok for finding in self.findings)

    @property
    def causes(self) -> set[str]:
        """The kinds of all causes that were found of what is not the same."""
        return {cause for one in self.findings if not one.is_ok for cause in one.causes}

    def __getitem__(self, way: str) -> Finding:
        found = {one.way: one for one in self.findings}
        if way not in found:
            raise KeyError(f"`way` must be one of {[*found]}. Received: way={way!r}")
        return found[way]

    def __str__(self) -> str:
        file = io.StringIO()
        rich.console.Console(file=file, width=WIDTH).print(self)
        return "\n".join(line.rstrip() for line in file.getvalue().splitlines())

    def __rich__(self) -> rich.console.Group:
        return rich.console.Group(self._make_table(), *self._list_causes())

    def _make_table(self):
        words = "the numbers are the same" if self.ok else "the numbers are NOT the same"
        table = rich.table.Table(title=f"{self.model}, {self.steps} steps: {words}")
        for heading in ("way", "verdict", "difference", "step", "first in", "cause"):
            is_number = heading in ("difference", "step")
            table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
        for one in self.findings:
            is_reference = one.way == self.reference and one.is_ok
            table.add_row(
                one.way,
                f"[{STYLES[one.verdict]}]{one.verdict}[/]",
                "reference" if is_reference else _format(one.difference),
                "" if one.step is None else str(one.step),
                _list(one.where),
                ", ".join(one.causes),
            )
        return table

    def _list_causes(self):
        """Returns a paragraph for each cause, behind the ways that have it."""
        ways = {}
        for one in self.findings:
            if one.words:
                ways.setdefault(one.words, []).append(one.way)
        return [rich.markup.escape(f"{', '.join(those)}: {words}") for words, those in ways.items()]

    def check(self) -> None:
        """Raises an `AssertionError` with the table if the numbers are not the same; for a test.

        Example:

        ```python
        x, y = km.data.sums(num_samples=100)
        km.verify(km.SumRegressor, (x, y), modes=("eager", "graph"), replicas=1).check()
        ```
        """
        if not self.ok:
            raise AssertionError(f"The numbers are not the same in every way.\n{self}")

    def to_dict(self) -> dict:
        """Returns the report as nested dicts, lists, numbers and strings."""
        return {"ok": self.ok, **dataclasses.asdict(self)}

    def save(self, path: str | os.PathLike) -> None:
        """Writes the report to a JSON file.

        Args:
            path: The file; an older one is replaced.
        """
        with atomic_files.atomic_write(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=2) + "\n")


def _format(difference):
    return "" if difference is None else f"{difference:.1e}"


def _list(names):
    if not names:
        return ""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return rich.markup.escape("/".join(names[0].split("/")[-2:]) + more)

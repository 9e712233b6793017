"""Which of several ways to run a step is the fastest: each runs some of the steps of a fit, timed.

What the ways are is not decided here. Numbers do not depend on them, so no step is run twice.
"""

# Steps of one turn. A way has at least two turns, and more until so many seconds were measured.
TURNS = (1, 2, 4, 16, 64, 256)
TIMED_SECONDS = 0.05

# A way must beat those before it by a tenth: below that, noise would decide.
MARGIN = 0.9


class Trial:
    """Gives each way its turns, then chooses.

    Args:
        ways: List of names, the preferred one first; a single one is chosen at once.

    Attributes:
        way: The way whose turn it is; in the end, the fastest.
        num_steps: The most steps of this turn, or `None` once the fastest is known.
        seconds: Seconds of a step, by way.
    """

    def __init__(self, ways):
        self.seconds = {}
        self._turns = self._take_turns(ways)
        self.way, self.num_steps = next(self._turns)

    @property
    def is_over(self):
        """Whether the fastest way is known."""
        return self.num_steps is None

    def note(self, seconds: float, num_steps: int) -> None:
        """Takes the time of the present turn."""
        self.way, self.num_steps = self._turns.send((seconds, num_steps))

    def _take_turns(self, ways):
        for way in ways if len(ways) > 1 else ():
            times, total = [], 0.0
            for num_steps in TURNS:
                if len(times) > 1 and total > TIMED_SECONDS:
                    break
                seconds, count = yield way, num_steps
                times.append(seconds / count)
                total += seconds
            self.seconds[way] = min(times)
        fastest = ways[0]
        for way, seconds in self.seconds.items():
            if seconds < MARGIN * self.seconds[fastest]:
                fastest = way
        yield fastest, None

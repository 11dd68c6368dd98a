"""When a run writes a sample, and how long that may take."""

import itertools

SHARE = 0.025
"""What all samples on the way may take, as a share of the time that the run's training takes."""
FREE_SECONDS = 0.1
"""What they may take in a run so short that its share is less: nobody feels it."""
AHEAD_SECONDS = 0.5
"""How much more than their share they may have taken at any time: a model changes most in its first steps."""
BURST_SECONDS = 0.25
"""What one sample may take: meanwhile the curve stands still."""


def moments(max_steps: int) -> list[int]:
    """The numbers of steps after which a run of ``max_steps`` writes on its way: 0, 10, 30, 100, 300, 1000, ..."""
    growing = (factor * 10**power for power in itertools.count(1) for factor in (1, 3))
    return [0, *itertools.takewhile(lambda step: step < max_steps, growing)]


class Moments:
    """The moments of one run, and the seconds that are left for each.

    In all, the samples of a run that takes its steps have `SHARE` of the time that its training takes. How long that
    will be is forecast at first, then measured.

    Args:
        max_steps: how many steps the run takes.
        forecast: seconds that its training takes; None where nobody knows.
    """

    def __init__(self, max_steps: int, forecast: float | None = None) -> None:
        self._max_steps, self._forecast = max_steps, forecast or 0.0
        self._left = moments(max_steps)
        self._spent = 0.0

    def is_due(self, step: int) -> bool:
        """Whether a moment has come that was not told of before; of several that are over, the last one counts."""
        count = sum(moment <= step for moment in self._left)
        self._left = self._left[count:]
        return count > 0

    def allowance(self, step: int, trained: float) -> float:
        """Seconds for the sample that is due now, after ``step`` steps that took ``trained`` seconds."""
        known = step >= 5  # the first ones are slow, more so where a model is compiled
        total = trained / step * self._max_steps if known else max(self._forecast, trained)
        share = (max(SHARE * total, FREE_SECONDS) - self._spent) / (1 + len(self._left))
        now = SHARE * trained + AHEAD_SECONDS - self._spent
        return max(0.0, min(share, now, BURST_SECONDS))

    def spend(self, seconds: float) -> None:
        """A sample has taken so long."""
        self._spent += seconds

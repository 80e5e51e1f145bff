"""How long a job still takes, from the time that its steps have taken.

A volume is solved in steps and decoded in parts. Until a volume was decoded, or a preview was, the time of decoding is
not known and not in the estimate. The time that previews take is not counted as a step's.
"""

import time
from collections.abc import Callable


class Estimate:
    """The clock of a job.

    Args:
        volumes: Volumes that it makes.
        decode_s: Time of decoding one, as the last job measured it; None if none did.
        now: The clock.
    """

    def __init__(self, volumes: int, decode_s: float | None, now: Callable[[], float] = time.monotonic) -> None:
        self.volumes, self.decode_s, self._now = volumes, decode_s, now
        self.index = 0
        self.preview_s = 0.0  # Time of all previews
        self._start_s = self._mark_s = now()
        self._step_s: float | None = None
        self._steps = 0
        self._phase = ""

    @property
    def elapsed_s(self) -> float:
        """Time since the job began."""
        return self._now() - self._start_s

    def add_preview(self, duration_s: float) -> None:
        """Count a preview: a whole decoding, during which no step was made."""
        self.preview_s += duration_s
        self.decode_s = duration_s
        self._mark_s += duration_s

    def next_volume(self) -> None:
        """Begin the next volume."""
        self.index += 1
        self._phase = ""
        self._mark_s = self._now()

    def after(self, phase: str, done: int, total: int) -> float | None:
        """Return the seconds that are left after a step; None if nothing is known yet."""
        if phase != self._phase:
            self._phase, start = phase, self._mark_s
            self._mark_s = start if phase == "solve" else self._now()
        spent_s = self._now() - self._mark_s
        if phase == "solve":
            self._steps = max(total, self._steps)
            self._step_s = spent_s / max(done, 1)
        elif done == total:
            self.decode_s = max(spent_s, self.decode_s or 0.0)
        if self._step_s is None:
            return None
        decode_s = self.decode_s or 0.0
        rest_s = self._step_s * (total - done) + decode_s if phase == "solve" else decode_s * (1 - done / max(total, 1))
        return rest_s + (self.volumes - self.index - 1) * (self._step_s * self._steps + decode_s)

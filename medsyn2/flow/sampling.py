"""How volumes are sampled: one record, from the configuration to the sidecar of each volume.

The configuration embeds it as its section ``sampling``, ``train_dit`` writes it into the model's description, and
every volume's recipe carries it. It checks itself and raises a `ConfigError` that names the value, so that whoever
holds one can use it. Numbers of NumPy become Python's, so that it can always be written as JSON.
"""

from dataclasses import dataclass
from math import isfinite, nan
from typing import ClassVar, Literal, get_args, no_type_check

from medsyn2.errors import ConfigError

_TRUTH = ("bool", "torch.bool")
"""Types of truth values in NumPy and PyTorch."""

Solver = Literal["euler", "heun", "dpmpp_2m", "unipc", "dopri5", "dopri5_adaptive", "warped_midpoint"]


@no_type_check  # it checks and converts the values itself
@dataclass(frozen=True)
class Sampling:
    """Solver and guidance of every volume that the model makes."""

    __pydantic_config__: ClassVar[dict[str, bool | str]] = {
        "extra": "forbid",
        "use_attribute_docstrings": True,
        "allow_inf_nan": False,
    }

    solver: Solver = "unipc"
    """``dopri5`` with 50 steps is the paper's (301 network evaluations); ``unipc`` with 50 takes 50;
    ``warped_midpoint`` with 49 is the authors' code (98), for their weights alone."""
    num_steps: int = 12
    """Steps of the solver, at least 1; ``dopri5_adaptive`` takes as many as its tolerances ask for."""
    t_end: float = 1e-3
    """Where the solver stops, between 1 (noise) and 0; the last step goes to the predicted clean latents."""
    guidance_report: float = 1.0
    """Classifier-free guidance of the report, from 0 on; 1 is none, as in the paper."""
    guidance_mask: float = 1.0
    """Classifier-free guidance of the mask, from 0 on; 1 is none, as in the paper."""

    def __post_init__(self) -> None:
        if self.solver not in get_args(Solver):
            raise _invalid("solver", f"one of {', '.join(get_args(Solver))}", self.solver)
        self._convert("num_steps", to_int(self.num_steps, "num_steps"))
        for name in ("t_end", "guidance_report", "guidance_mask"):
            self._convert(name, to_float(getattr(self, name), name))
        if self.num_steps < 1:
            raise _invalid("num_steps", "at least 1", self.num_steps)
        if not 0.0 < self.t_end < 1.0:
            raise _invalid("t_end", "a time between 0 and 1", self.t_end)
        for name in ("guidance_report", "guidance_mask"):
            if getattr(self, name) < 0.0:
                raise _invalid(name, "a scale from 0 on", getattr(self, name))

    def _convert(self, name: str, value: float) -> None:
        object.__setattr__(self, name, value)


def to_int(value: object, name: str) -> int:
    """Return a whole number of any library as Python's; a float is taken if it is whole, as pandas makes them.

    Raises:
        ConfigError: If `value` is no whole number; the message calls it `name`.
    """
    if not to_float(value, name).is_integer():
        raise _invalid(name, "a whole number", value)
    return int(value)  # type: ignore[call-overload]  # not of the float: a large seed would lose digits


def to_float(value: object, name: str) -> float:
    """Return a finite number of any library as Python's float.

    Raises:
        ConfigError: If `value` is no finite number; the message calls it `name`.
    """
    try:
        if isinstance(value, str | bytes | bool) or str(getattr(value, "dtype", "")) in _TRUTH:
            raise TypeError
        number = float(value)  # type: ignore[arg-type]  # an object without a float raises TypeError
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last from a tensor without a value
        number = nan
    if not isfinite(number):
        raise _invalid(name, "a finite number", value)
    return number


def _invalid(name: str, expected: str, got: object) -> ConfigError:
    return ConfigError(
        f"{name}: expected {expected}, got {got!r}.",
        code="sampling-invalid",
        remedy="the defaults of Sampling suit the models trained here; a guidance scale of 1 is none.",
    )

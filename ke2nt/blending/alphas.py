"""`--alpha`: one number, several, or a range."""

from __future__ import annotations

from ke2nt.errors import ConfigError

__all__ = ["DEFAULT_ALPHAS", "check_alphas", "parse_alphas"]

DEFAULT_ALPHAS = "0:1:0.1"
_MOST = 1001


def parse_alphas(text: str) -> tuple[float, ...]:
    """Parse "0.5", "0,0.3,1" or "0:1:0.1" (first, last, step; the last one is included).

    Raises:
        ConfigError: It has another form, or a number is outside [0, 1].
    """
    try:
        if ":" not in text:
            return check_alphas([float(part) for part in text.split(",")])
        first, last, step = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise _wrong(text) from error
    if not (step > 0 and 0 <= first <= last and (last - first) / step < _MOST):
        raise _wrong(text)

    # multiples of the step without the rounding of a sum
    count = int((last - first) / step + 1e-6) + 1
    return check_alphas([round(first + i * step, 10) for i in range(count)])


def check_alphas(alphas: list[float]) -> tuple[float, ...]:
    """Return the values without repetitions, in order.

    Raises:
        ConfigError: A number is outside [0, 1], or there is none.
    """
    outside = [alpha for alpha in alphas if not 0 <= alpha <= 1]
    if outside or not alphas:
        raise ConfigError(
            "alpha is the share of the second model",
            expected="numbers from 0 to 1",
            found=", ".join(f"{alpha:g}" for alpha in outside) or "none",
        )
    return tuple(sorted(set(alphas)))


def _wrong(text: str) -> ConfigError:
    return ConfigError(
        "--alpha cannot be read",
        expected="a number from 0 to 1, several as 0,0.3,1, or FIRST:LAST:STEP such as 0:1:0.1",
        found=text,
    )

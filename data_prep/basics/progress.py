"""Progress for people: a bar on a terminal, a line in a while in a log."""

import sys

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 30.0  # In a log.


class _LogLines(tqdm):
    """Writes each state as a line of its own; `noise2map_jax.progress` has the same."""

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line; none before there is progress, a last one when tqdm is closed."""
        if self.n > self.initial or msg is not None:
            self.fp.write(f"{self}\n")
            self.fp.flush()


def progress_bar(total: int, label: str, unit: str) -> tqdm:
    """Make a bar that tells a rate and the time left.

    Args:
      total: How many there are in all.
      label: What is being done.
      unit: What is counted, in the plural: files, scenes.

    Returns:
      The bar, to be closed. Where stderr is no terminal it writes a line every
      SECONDS_BETWEEN_LINES at most, and one when it is closed.
    """
    is_terminal = sys.stderr.isatty()
    amount = "{n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_noinv_fmt}]"
    return (tqdm if is_terminal else _LogLines)(
        total=total,
        desc=label,
        unit=f" {unit}",
        mininterval=0.5 if is_terminal else SECONDS_BETWEEN_LINES,
        miniters=1,
        leave=is_terminal,
        bar_format="{l_bar}{bar}| " + amount if is_terminal else "{desc}: " + amount,
    )

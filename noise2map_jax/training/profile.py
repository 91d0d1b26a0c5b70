"""A trace of some training steps, and a table of where their time goes."""

import csv
import os
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from noise2map_jax.buckets.names import shown
from noise2map_jax.cost.network_parts import Part
from noise2map_jax.cost.part_times import part_times
from noise2map_jax.cost.program_text import parse
from noise2map_jax.cost.trace import read_operations
from noise2map_jax.errors import UserError

FOLDER, TABLE = "profile", "parts.csv"
NONE = (0, 0)  # of train.profile_steps


class Profile:
    """Records steps with JAX's profiler.

    Each process writes `profile/`, of several processes `profile/process_<number>/`, which
    TensorBoard's profile plugin and XProf open. The first process writes and prints the table.
    """

    def __init__(self, steps: tuple[int, int], workdir: pathlib.Path, program: Callable[[], str]):
        """Prepare.

        Args:
            steps: first step, and the step after the last, as counted in `metrics.jsonl`.
            workdir: the run's work folder.
            program: returns the text of the compiled step.
        """
        self._first, self._last = steps[0], steps[1] - 1
        self._program = program
        self._workdir = self._traces = workdir / FOLDER
        if jax.process_count() > 1:
            self._traces /= f"process_{jax.process_index()}"
        self._begun: float | None = None

    def begin(self, step: int, state: Any) -> None:
        """Start recording if this is the first step to record.

        Args:
            step: number of the step that comes.
            state: the state before it: what runs on the devices is waited for.
        """
        if step != self._first:
            return
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # it would slow down what is to be measured
        jax.block_until_ready(state)
        jax.profiler.start_trace(str(self._traces), profiler_options=options)
        self._begun = time.perf_counter()

    def ends(self, step: int) -> bool:
        """Whether a step is the last to record."""
        return step == self._last and self._begun is not None

    def end(self, state: Any) -> None:
        """Stop recording when a state is computed; write and print the table."""
        assert self._begun is not None  # `ends` was asked
        jax.block_until_ready(state)
        seconds = time.perf_counter() - self._begun
        self.close()
        if jax.process_index() != 0:
            return
        with jax.transfer_guard("allow"):
            program = parse(self._program())
        newest = max(
            self._traces.glob("plugins/profile/*/*.xplane.pb"),
            key=lambda path: path.stat().st_mtime,
        )
        num_steps = self._last - self._first + 1
        times = part_times(read_operations(newest), program, 1e9 * seconds)
        milliseconds = {part: time / num_steps / 1e6 for part, time in times.items()}
        whole = 1e3 * seconds / num_steps
        path = self._workdir / TABLE
        _write(milliseconds, whole, path)
        steps = f"steps {self._first} to {self._last}"
        where = shown(f"{newest.parent}, {path}")
        print(f"\n{describe(milliseconds, whole, steps)}\nprofile: {where}", flush=True)

    def close(self) -> None:
        """Stop recording, if it goes on."""
        if self._begun is not None:
            self._begun = None
            jax.profiler.stop_trace()


def create_profile(
    steps: tuple[int, int], first_step: int, workdir: pathlib.Path, program: Callable[[], str]
) -> Profile | None:
    """Prepare the recording that `train.profile_steps` asks for; None if there is none to do.

    Args:
        steps: the field, which `check_profile_steps` has accepted.
        first_step: number of steps that earlier attempts trained.
        workdir: the run's work folder.
        program: returns the text of the compiled step.
    """
    first, after = steps
    if (first, after) == NONE:
        return None
    if first <= first_step:
        if jax.process_index() == 0:
            print(
                f"profile     steps {first} to {after - 1} are not recorded: training goes on "
                f"after step {first_step}; ask for later train.profile_steps",
                flush=True,
            )
        return None
    return Profile((first, after), workdir, program)


def check_profile_steps(steps: Any, num_steps: int) -> None:
    """Raise if `train.profile_steps` cannot be recorded in a run.

    Raises:
        UserError: it is no range, or reaches beyond the last step.
    """
    numbers = isinstance(steps, tuple | list) and all(type(step) is int for step in steps)
    if not numbers or len(steps) != 2:
        raise UserError(
            f"train.profile_steps is {steps}; expected two step numbers: first, last + 1"
        )
    first, after = steps
    if (first, after) != NONE and not 1 <= first < after <= num_steps + 1:
        raise UserError(
            f"train.profile_steps is [{first}, {after}); expected 1 <= first < last + 1 <= "
            f"{num_steps + 1}, for the run has {num_steps} steps"
        )


def describe(milliseconds: Mapping[Part, float], whole: float, steps: str) -> str:
    """Describe where the time of a step goes, a line for each part.

    Args:
        milliseconds: time a step by part.
        whole: milliseconds a step.
        steps: what was recorded.
    """
    lines = [
        f"where the time of {steps} went: {whole:.2f} ms a step, on the first device",
        f"{'part':<32}{'ms a step':>12}{'share':>8}",
    ]
    for part, own in milliseconds.items():
        lines.append(f"{f'{part.name} {part.direction}':<32}{own:12.3f}{own / whole:8.1%}")
    return "\n".join(lines)


def _write(milliseconds: Mapping[Part, float], whole: float, path: pathlib.Path) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("part", "direction", "ms_a_step", "share"))
        for part, own in milliseconds.items():
            rows.writerow((part.name, part.direction, f"{own:.6f}", f"{own / whole:.6f}"))
    os.replace(temporary, path)

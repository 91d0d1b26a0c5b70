"""Tries which builder reads a folder, and with which options: nothing is written."""

import argparse
import contextlib
import io
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from data_prep.advice.contents import Group
from data_prep.basics.dataset import SPLITS, Dataset
from data_prep.basics.errors import UserError
from data_prep.builders import catalogue
from data_prep.imagery.files import SUFFIXES
from data_prep.reading import layout

# Options that messages advise and that change what is read, not what is left out.
_OPTION = re.compile(r"--(?:roles|split_within|tile_size|dtype|bands|mask_encoding)(?:=[^\s)]+)?")
_MOST_OPTIONS = 4
_SIDES = (256, 128, 64, 32)  # Sides of tiles that suit the networks, the most usual first.


@dataclass(frozen=True)
class Trial:
    """A builder that was tried with some options.

    Attributes:
      builder: Its name.
      options: The options, such as --task=cd, without --source and --data_dir.
      name: Name of the dataset.
      dataset: What it would build; None if it cannot.
      problem: Why it cannot; empty if it can.
    """

    builder: str
    options: tuple[str, ...]
    name: str
    dataset: Dataset | None
    problem: str = ""

    def command(self, source: Path, data_dir: str = "data") -> str:
        """Return the command to type."""
        options = " ".join(map(shlex.quote, self.options))
        where = f"--source={shlex.quote(str(source))} --data_dir={shlex.quote(data_dir)}"
        return f"python -m data_prep {self.builder} {where} {options}".rstrip()


def advise(source: Path, groups: Sequence[Group], num_workers: int) -> tuple[list[Trial], str]:
    """Find the builders that read a folder.

    Args:
      source: The folder.
      groups: What it holds, see `contents.survey`.
      num_workers: Number of processes.

    Returns:
      The trials that succeeded, and what the builder `folder` says if none did.
    """
    found: list[Trial] = []
    problem = ""
    for builder, options in _candidates(groups):
        if builder == "folder" and found:
            break  # An owner's layout says more than any folder of images and masks.
        trial = attempt(source, builder, options, num_workers)
        if builder == "folder" and trial.dataset is None:
            trial = _as_told(source, trial, num_workers)
        if trial.dataset is not None:
            found.append(trial)
            if builder == "folder":
                break
        elif builder == "folder":
            problem = trial.problem
    return found, problem


def attempt(source: Path, builder: str, options: Sequence[str], num_workers: int) -> Trial:
    """Plan a dataset, and leave out files that cannot be used if there are any."""
    arguments = [f"--source={source}", "--data_dir=data", f"--num_workers={num_workers}"]
    parser = argparse.ArgumentParser(exit_on_error=False)
    catalogue.add_arguments(parser, builder)
    problem = ""
    for more in ((), ("--on_error=skip",)):
        args = parser.parse_args([*arguments, *options, *more])
        name = catalogue.BUILDERS[builder].default_name(args)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                dataset = catalogue.BUILDERS[builder].plan(args, name)
            return Trial(builder, (*options, *more), name, dataset)
        except (UserError, argparse.ArgumentError) as error:
            problem = problem or str(error)
    return Trial(builder, tuple(options), "", None, problem)


def _as_told(source: Path, trial: Trial, num_workers: int) -> Trial:
    """Follow the options that the reasons of `folder` name, one after the other."""
    first, given = trial, trial.options
    for _ in range(_MOST_OPTIONS):
        told = [option.rstrip(".,:;") for option in _OPTION.findall(trial.problem)]
        told = [option for option in told if "NAME" not in option]  # which the user is to fill in
        named = {option.split("=")[0] for option in given}
        more = [o for o in told if o.split("=")[0] not in named - {"--tile_size"}]
        if "--split_within" in more:  # The options beside it go with it; --splits is another way.
            more = [o for o in more if o.startswith(("--split_within", "--tile_size"))]
        else:
            more = more[:1]
        if not more:
            break
        replaced = {option.split("=")[0] for option in more}
        given = (*(o for o in given if o.split("=")[0] not in replaced), *more)
        following = attempt(source, "folder", given, num_workers)
        if following.dataset is not None:
            return following
        trial = following
    return first


def _candidates(groups: Sequence[Group]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield builders and options to try, those of one owner's layout first."""
    names = {part.lower() for group in groups for part in Path(group.folder).parts}
    files = [path.name for group in groups for path in group.files]
    side = f"--tile_size={_tile_size(groups)}"
    if any(name.startswith("images_masked") or name == "udm_masks" for name in names):
        yield "spacenet7", ("--task=ss", side)
        yield "spacenet7", ("--task=cd", side)
    if any("_pre_disaster" in name for name in files):
        resize = f"--resize={_tile_size(groups)}"
        for target in ("buildings", "damage"):
            yield "xview2", (f"--target={target}", "--disasters=all", side, resize)
    dtype = _dtype(groups)
    yield "folder", (side, *((f"--dtype={dtype}",) if dtype != "uint8" else ()))
    for task in ("cd", "ss"):
        yield "whu", (f"--task={task}", side, *(("--resize=0",) if task == "ss" else ()))


def _tile_size(groups: Sequence[Group]) -> int:
    sides = [min(h.size) for group in groups for h in group.headers if min(h.size)]
    least = min(sides, default=_SIDES[0])
    return next((side for side in _SIDES if side <= least), _SIDES[-1])


def _dtype(groups: Sequence[Group]) -> str:
    kinds = [h.kind.split()[-1] for group in groups for h in group.headers if h.kind]
    return "uint16" if kinds.count("uint16") > len(kinds) / 3 else "uint8"


def summary(trial: Trial) -> str:
    """Say what a builder would make of the folder."""
    dataset = trial.dataset
    assert dataset is not None
    counts = {split: [s for s in dataset.scenes if s.split == split] for split in SPLITS}
    scenes = ", ".join(f"{len(of)} {split}" for split, of in counts.items() if of)
    places = len({scene.place for scene in dataset.scenes})
    known = "" if dataset.about.get("places_known", True) else " (not known: a scene each)"
    records = dataset.format
    classes = f", classes {', '.join(records.classes)}" if records.classes else ""
    lines = [
        f"task {records.task}: {len(dataset.scenes)} scenes ({scenes}), places: {places}{known};"
        f" {records.num_bands} band(s) of {records.dtype}{classes}",
        f"layout: {dataset.about['layout']}",
    ]
    lines += [f"note: {note}" for note in dataset.about.get("notes", ())]
    return "\n".join(lines)


IMAGE_SUFFIXES = (*SUFFIXES, *layout.OTHER_SUFFIXES)

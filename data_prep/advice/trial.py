"""Tries which builder reads a folder, and with which options: nothing is written."""

import argparse
import contextlib
import io
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.advice.contents import Group
from data_prep.basics.dataset import SPLITS, Dataset
from data_prep.basics.errors import UserError
from data_prep.builders import catalogue
from data_prep.imagery.files import SUFFIXES
from data_prep.reading.tree import OTHER_SUFFIXES

# Options that messages advise and that change what is read, not what is left out.
_OPTION = re.compile(
    r"--(?:roles|split_within|tile_size|dtype|bands|mask_encoding)(?:='[^']*'|=[^\s)']+)?"
)
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
      problem: Why it cannot, or cannot without --on_error=skip; empty if nothing is wrong.
      told: Messages whose advice the options follow, one line each.
    """

    builder: str
    options: tuple[str, ...]
    name: str
    dataset: Dataset | None
    problem: str = ""
    told: tuple[str, ...] = ()

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
      The trials that succeeded, and what the builder `folder` says if none did: without options,
      and with those that it asks for.
    """
    found: list[Trial] = []
    problem = ""
    for builder, options in _candidates(groups):
        if builder == "folder" and found:
            break  # An owner's layout says more than any folder of images and masks.
        trial = attempt(source, builder, options, num_workers)
        if builder == "folder" and (trial.dataset is None or _leaves_much_out(trial)):
            trial = _as_told(source, options, trial, num_workers)
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
        try:
            args = parser.parse_args([*arguments, *options, *more])
            name = catalogue.BUILDERS[builder].default_name(args)
            with contextlib.redirect_stdout(io.StringIO()):
                dataset = catalogue.BUILDERS[builder].plan(args, name)
            return Trial(builder, (*options, *more), name, dataset, problem)
        except (UserError, argparse.ArgumentError) as error:
            problem = problem or str(error)
    return Trial(builder, tuple(options), "", None, problem)


def _leaves_much_out(trial: Trial) -> bool:
    return trial.dataset is not None and 4 * _num_left_out(trial) > trial.dataset.num_found


def _num_left_out(trial: Trial) -> int:
    assert trial.dataset is not None
    return len(trial.dataset.rejected)


def _as_told(source: Path, options: Sequence[str], trial: Trial, num_workers: int) -> Trial:
    """Follow the options that the reasons of `folder` name, one after the other.

    Returns:
      A trial that leaves out fewer files than the first, or the first, whose problem then ends with
      that of the last.
    """
    first, given = trial, tuple(options)
    seen, told_so_far = set(given), list[str]()
    for _ in range(_MOST_OPTIONS):
        told = [_unquoted(option) for option in _OPTION.findall(trial.problem)]
        told = [o for o in told if "NAME" not in o and o not in seen]  # A user fills in NAME.
        if "--split_within" in told:  # The options beside it go with it; --splits is another way.
            more = [o for o in told if o.startswith(("--split_within", "--tile_size"))]
        else:
            more = [o for o in told[:1] if not o.startswith("--tile_size")]
        if not more:
            break
        because = _because(more[0], trial.problem)
        told_so_far += [because] if because not in told_so_far else []
        replaced = {option.split("=")[0] for option in more}
        given = (*(o for o in given if o.split("=")[0] not in replaced), *more)
        seen.update(more)
        doubtful = "in another order" in because
        trial = attempt(source, "folder", given, num_workers)
        if trial.dataset is None and doubtful and (other := _other_order(given)):
            swapped = attempt(source, "folder", other, num_workers)
            given, trial = (other, swapped) if swapped.dataset is not None else (given, trial)
        trial = replace(trial, told=tuple(told_so_far))
        if trial.dataset is not None and not _leaves_much_out(trial):
            return trial
    if first.dataset is not None or trial.dataset is not None:
        built = [one for one in (first, trial) if one.dataset is not None]
        return min(built, key=_num_left_out)
    if trial.problem == first.problem:
        return first
    return replace(first, problem=f"{first.problem}\nwith {' '.join(given)}: {trial.problem}")


def _other_order(options: Sequence[str]) -> tuple[str, ...] | None:
    """Exchange image and mask in --roles; None if it does not name both."""
    match = [re.fullmatch(r"--roles=image=([^,]+),mask=([^,]+)", option) for option in options]
    if not any(match):
        return None
    return tuple(
        f"--roles=image={found[2]},mask={found[1]}" if found else option
        for option, found in zip(options, match, strict=True)
    )


def _unquoted(option: str) -> str:
    return "".join(shlex.split(option.rstrip(".,:;")))


def _because(option: str, problem: str) -> str:
    """Return the line of a message that names an option, without what else could be done."""
    named = option.split("=")[0]
    line = next(line for line in problem.splitlines() if named in line).removeprefix("nearest: ")
    return re.sub(r"; --task=denoise .*| \(--on_error=skip .*", "", line)


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
    return "uint16" if kinds.count("uint16") > len(kinds) / 2 else "uint8"


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
    lines += [f"the options follow what `folder` says: {told}" for told in trial.told]
    return "\n".join(lines)


IMAGE_SUFFIXES = (*SUFFIXES, *OTHER_SUFFIXES)

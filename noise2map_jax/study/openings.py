"""When the test split was opened for a study: kept in its folder, and said on its page.

A choice that is made knowing test scores makes them optimistic. Nobody can be kept from looking,
but what was looked at, and when, can be known.
"""

import hashlib
import json
import os
import pathlib
import time
from typing import NamedTuple

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_fields import fields
from noise2map_jax.experiment.field_rules import May, names
from noise2map_jax.study import member_result
from noise2map_jax.study.member_result import MemberResult
from noise2map_jax.study.study import SPLIT, Member, Study

FILE = "test_openings.json"
EARLIER_VERSION = "an earlier version, which compared on test"


class Opening(NamedTuple):
    """One time that test was opened.

    Attributes:
        date: the day, as 2026-01-31.
        members: digest of the networks that were evaluated, see `digest`; empty where not known.
        num_members: how many those were.
        by: what opened it.
    """

    date: str
    members: str
    num_members: int
    by: str


def load(workdir: pathlib.Path) -> list[Opening]:
    """Read how often test was opened for the study in this folder, the first time first."""
    path = workdir / FILE
    if not path.is_file():
        return []
    try:
        return [Opening(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}), so nobody knows when test was opened; bring it back"
        ) from None


def note(study: Study) -> None:
    """Note that test is opened for the members as they are; again for the same is nothing new."""
    members = digest(study)
    if members not in [opening.members for opening in load(study.workdir)]:
        now = time.strftime("%Y-%m-%d")
        _append(study.workdir, Opening(now, members, len(_results(study)), "--mode=final"))


def note_member(workdir: pathlib.Path) -> None:
    """Note that test is opened for a run by itself, where it is a member of a study."""
    study = workdir.resolve().parents[1]
    if workdir.resolve().parent.name == "members" and (study / "study.json").is_file():
        by = f"--mode=eval of {workdir.resolve().name}"
        if by not in [opening.by for opening in load(study)]:
            _append(study, Opening(time.strftime("%Y-%m-%d"), "", 1, by))


def note_earlier_version(study: Study) -> None:
    """Note that an earlier version compared the members on test, where it did."""
    paths = [
        member.run.workdir / member_result.FILES[SPLIT]
        for member, result in _results(study)
        if json.loads(result.question)[0] == "test"
    ]
    if paths and EARLIER_VERSION not in [opening.by for opening in load(study.workdir)]:
        first = time.localtime(min(path.stat().st_mtime for path in paths))
        date = time.strftime("%Y-%m-%d", first)
        _append(study.workdir, Opening(date, "", len(paths), EARLIER_VERSION))


def digest(study: Study) -> str:
    """Name the trained networks of a study: by what they were trained with, and their steps."""
    networks = [
        [member.name, result.step, fields(member.run.experiment.config, without=names(May.GO_ON))]
        for member, result in _results(study)
    ]
    return hashlib.sha256(json.dumps(networks, sort_keys=True).encode()).hexdigest()


def describe(study: Study) -> str:
    """Say in a sentence or two how often test was opened."""
    found = load(study.workdir)
    if not found:
        return (
            "The test split has not been opened for this study; --mode=final opens it, once, when "
            "nothing is to be chosen any more."
        )
    times = "; ".join(f"on {o.date} for {o.num_members} members, by {o.by}" for o in found)
    often = "once" if len(found) == 1 else f"{len(found)} times"
    text = f"The test split was opened {often}: {times}."
    if len(found) == 1 and found[0].members == digest(study):
        return f"{text} The members have not changed since."
    return f"{text} What was chosen or added after the first time may owe to scores on test."


def _results(study: Study) -> list[tuple[Member, MemberResult]]:
    """What the members have been asked on the split of the comparison."""
    loaded = [(m, member_result.load(m.run.workdir, SPLIT)) for m in study.members]
    return [(member, result) for member, result in loaded if result]


def _append(workdir: pathlib.Path, opening: Opening) -> None:
    """Write the record with one more, whole or not at all."""
    entries = [entry._asdict() for entry in (*load(workdir), opening)]
    path = workdir / FILE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(entries, indent=2) + "\n")
    os.replace(temporary, path)

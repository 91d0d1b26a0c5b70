"""A record of when the test split was opened for a study, kept in its folder and shown on its page.

Choices made with knowledge of test scores make these scores optimistic. The record does not
prevent anyone from looking at test, but it shows who looked, at what and when.
"""

import hashlib
import json
import os
import pathlib
import time
from typing import NamedTuple

from noise2map_jax import strict_json
from noise2map_jax.buckets.address import Address
from noise2map_jax.buckets.names import address_of
from noise2map_jax.buckets.store import BucketError, Store
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_fields import fields
from noise2map_jax.experiment.field_rules import May, names
from noise2map_jax.study import member_result
from noise2map_jax.study.member_result import MemberResult
from noise2map_jax.study.study import SPLIT, Member, Study

FILE = "test_openings.json"
EARLIER_VERSION = "an earlier version, which compared on test"


class Opening(NamedTuple):
    """One opening of the test split.

    Attributes:
        date: the day, such as 2026-01-31.
        members: digest of the networks that were evaluated, see `digest`; empty if not known.
        num_members: number of these networks.
        by: the command or version that opened test.
    """

    date: str
    members: str
    num_members: int
    by: str


def load(workdir: pathlib.Path) -> list[Opening]:
    """Read the openings of a study from its folder, the earliest first."""
    path = workdir / FILE
    if not path.is_file():
        return []
    try:
        return [Opening(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{path} is damaged ({error}), so it is unknown when test was opened; restore the file"
        ) from None


def note(study: Study) -> None:
    """Record that test is opened for the present members; the same members are recorded once."""
    members = digest(study)
    if members not in [opening.members for opening in load(study.workdir)]:
        now = time.strftime("%Y-%m-%d")
        _append(study.workdir, Opening(now, members, len(_results(study)), "--mode=final"))


def note_member(workdir: pathlib.Path) -> None:
    """Record that `--mode=eval` opens test for a run, if the run is a member of a study.

    Raises:
        BucketError: the study is in object storage, where two programs may change the record.
    """
    address = address_of(workdir)
    if address and address.parent.name == "members" and _is_study(address.parent.parent):
        raise BucketError(
            f"{address} is of a study, which records when test is opened: use --mode=final with "
            f"--workdir={address.parent.parent}, or copy the study here"
        )
    study = workdir.resolve().parents[1]
    if workdir.resolve().parent.name == "members" and (study / "study.json").is_file():
        by = f"--mode=eval of {workdir.resolve().name}"
        if by not in [opening.by for opening in load(study)]:
            _append(study, Opening(time.strftime("%Y-%m-%d"), "", 1, by))


def _is_study(address: Address) -> bool:
    return Store(address).text("study.json") is not None


def note_earlier_version(study: Study) -> None:
    """Record that an earlier version compared the members on test, if it did."""
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
    """Return a digest of a study's trained networks, from their configs and best steps."""
    networks = [
        [member.name, result.step, fields(member.run.experiment.config, without=names(May.GO_ON))]
        for member, result in _results(study)
    ]
    return hashlib.sha256(strict_json.dumps(networks, sort_keys=True).encode()).hexdigest()


def describe(study: Study) -> str:
    """State in one or two sentences how often test was opened, when and by what."""
    found = load(study.workdir)
    if not found:
        return (
            "The test split has not been opened for this study. Open it once with --mode=final, "
            "after all choices are made."
        )
    times = "; ".join(f"on {o.date} for {o.num_members} members, by {o.by}" for o in found)
    often = "once" if len(found) == 1 else f"{len(found)} times"
    text = f"The test split was opened {often}: {times}."
    if len(found) == 1 and found[0].members == digest(study):
        return f"{text} The members have not changed since."
    return f"{text} Choices and additions after the first time may depend on test scores."


def _results(study: Study) -> list[tuple[Member, MemberResult]]:
    """Return the evaluated members with their results on the split of the comparison."""
    loaded = [(m, member_result.load(m.run.workdir, SPLIT)) for m in study.members]
    return [(member, result) for member, result in loaded if result]


def _append(workdir: pathlib.Path, opening: Opening) -> None:
    """Add an opening to the record; the file is written completely or not at all."""
    entries = [entry._asdict() for entry in (*load(workdir), opening)]
    path = workdir / FILE
    temporary = path.with_suffix(".tmp")
    temporary.write_text(strict_json.dumps(entries, indent=2) + "\n")
    os.replace(temporary, path)

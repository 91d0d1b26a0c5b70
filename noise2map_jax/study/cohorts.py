"""Which members of a study are trained in one call, and which are trained: kept on disk."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Sequence

from noise2map_jax.experiment.config_fields import fields
from noise2map_jax.experiment.field_rules import May, names
from noise2map_jax.study.study import Member, Study

TRAINED = "trained.json"  # in a member's folder: it will not be trained any more, and why
MEMBERS = "members.json"  # in a cohort's folder: whose states lie there


@dataclasses.dataclass(frozen=True)
class Cohort:
    """Members that are trained in one call of the step.

    Attributes:
        members: these.
        folder: where their newest states are kept together; of one alone its own folder.
    """

    members: tuple[Member, ...]
    folder: pathlib.Path

    def discard(self) -> None:
        """Remove states that are not needed any more; a single member keeps its own."""
        if (self.folder / MEMBERS).is_file():
            shutil.rmtree(self.folder)


def failure_of(member: Member) -> str | None:
    """Return why a member failed, empty where it did not; None where it is not trained yet."""
    path = member.run.workdir / TRAINED
    return json.loads(path.read_text())["failure"] if path.is_file() else None


def note_trained(member: Member, failure: str) -> None:
    """Note that a member is trained, or failed."""
    _write(member.run.workdir / TRAINED, {"failure": failure})


def plan_cohorts(
    study: Study, members: Sequence[Member], kind: str, num_members: int
) -> list[Cohort]:
    """Divide members that share an executable into calls.

    What an earlier attempt began is gone on with as it was. States of members that have other
    values now, or that were executed otherwise, are removed: these members start again.

    Args:
        study: whose they are.
        members: of one group.
        kind: of execution.
        num_members: trained in one call; 1 where each is trained as a run of its own.
    """
    if num_members == 1 and kind == "dispatch":
        pending = [member for member in members if failure_of(member) is None]
        return [Cohort((member,), member.run.workdir) for member in pending]
    by_name = {member.run.workdir.name: member for member in members}
    cohorts = []
    for path in sorted((study.workdir / "cohorts").glob(f"*/{MEMBERS}")):
        names = json.loads(path.read_text())
        if not set(names) <= set(by_name):
            continue  # of another group, or of variants that are not asked for now
        own = tuple(by_name[name] for name in names)
        if path.parent != _folder(study, own, kind, num_members) or _is_trained(own):
            what = "are trained" if _is_trained(own) else "start again: config or execution differ"
            print(f"{', '.join(member.name for member in own)} {what}", flush=True)
            shutil.rmtree(path.parent)
        else:
            cohorts.append(Cohort(own, path.parent))
    begun = {member.run.workdir for cohort in cohorts for member in cohort.members}
    pending = [m for m in members if failure_of(m) is None and m.run.workdir not in begun]
    for first in range(0, len(pending), num_members):
        own = tuple(pending[first : first + num_members])
        folder = _folder(study, own, kind, num_members)
        _write(folder / MEMBERS, [member.run.workdir.name for member in own])
        cohorts.append(Cohort(own, folder))
    return cohorts


def _is_trained(members: Sequence[Member]) -> bool:
    return all(failure_of(member) is not None for member in members)


def _folder(study: Study, members: Sequence[Member], kind: str, num_members: int) -> pathlib.Path:
    """Name a cohort's folder by all that its states depend on."""
    content: list[object] = [kind, num_members]
    for member in members:
        lasting = fields(member.run.experiment.config, without=names(May.GO_ON_IN_STUDY))
        content += [member.run.workdir.name, lasting]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return study.workdir / "cohorts" / digest[:16]


def _write(path: pathlib.Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content) + "\n")
    os.replace(temporary, path)

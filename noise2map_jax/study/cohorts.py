"""Records on disk of which members of a study train in one call, and which are trained."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Sequence

from noise2map_jax import strict_json
from noise2map_jax.experiment.config_fields import fields
from noise2map_jax.experiment.field_rules import May, names
from noise2map_jax.study.study import Member, Study

TRAINED = "trained.json"  # in a member's folder: its training has ended, or failed and why
MEMBERS = "members.json"  # in a cohort's folder: the members whose states it holds


@dataclasses.dataclass(frozen=True)
class Cohort:
    """Members that are trained in one call of the step.

    Attributes:
        members: the members.
        folder: the folder that holds their newest states together; for one member, its own folder.
    """

    members: tuple[Member, ...]
    folder: pathlib.Path

    def discard(self) -> None:
        """Remove the states of several members; a single member keeps its own."""
        if (self.folder / MEMBERS).is_file():
            shutil.rmtree(self.folder)


def failure_of(member: Member) -> str | None:
    """Return why a member failed: empty if it did not fail, None if it is not trained yet."""
    path = member.run.workdir / TRAINED
    return json.loads(path.read_text())["failure"] if path.is_file() else None


def note_trained(member: Member, failure: str) -> None:
    """Record that a member is trained, or why it failed."""
    _write(member.run.workdir / TRAINED, {"failure": failure})


def plan_cohorts(
    study: Study, members: Sequence[Member], kind: str, num_members: int
) -> list[Cohort]:
    """Divide members that share an executable into cohorts.

    Cohorts of an earlier attempt continue. If the config or the execution of a member has changed,
    the states of its cohort are removed, and its members start again.

    Args:
        study: the study.
        members: the members of one group.
        kind: kind of execution.
        num_members: members in one call; 1 if each member is trained as a run of its own.
    """
    if num_members == 1 and kind == "dispatch":
        pending = [member for member in members if failure_of(member) is None]
        return [Cohort((member,), member.run.workdir) for member in pending]
    by_name = {member.run.workdir.name: member for member in members}
    cohorts = []
    for path in sorted((study.workdir / "cohorts").glob(f"*/{MEMBERS}")):
        names = json.loads(path.read_text())
        if not set(names) <= set(by_name):
            continue  # of another group, or of variants that are not in the study now
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
    """Return a cohort's folder, named by a digest of all that its states depend on."""
    content: list[object] = [kind, num_members]
    for member in members:
        lasting = fields(member.run.experiment.config, without=names(May.GO_ON_IN_STUDY))
        content += [member.run.workdir.name, lasting]
    digest = hashlib.sha256(strict_json.dumps(content, sort_keys=True).encode()).hexdigest()
    return study.workdir / "cohorts" / digest[:16]


def _write(path: pathlib.Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(strict_json.dumps(content) + "\n")
    os.replace(temporary, path)

"""Evaluation of a study's trained members on a split, and over timesteps."""

import hashlib

from noise2map_jax import strict_json
from noise2map_jax.evaluation.evaluator import MapEvaluator
from noise2map_jax.evaluation.sweep import TimestepSweep, timestep_grid
from noise2map_jax.experiment.run import restore_best
from noise2map_jax.study import member_result
from noise2map_jax.study.cohorts import failure_of
from noise2map_jax.study.member_result import MemberResult
from noise2map_jax.study.study import Member


class MemberEvaluator:
    """Evaluates the best parameters of members that share an executable; compiles once.

    Attributes:
        split: the split to evaluate on.
    """

    def __init__(self, member: Member, split: str, num_timesteps: int = 0):
        """Prepare the evaluation.

        Args:
            member: one of these members.
            split: val or test.
            num_timesteps: number of timesteps of the sweep; 0 = no sweep.
        """
        objective, mesh = member.objective, member.run.experiment.mesh
        self.split = split
        self._num_timesteps = num_timesteps
        self._evaluate = MapEvaluator(objective, mesh, split)
        self._sweep = TimestepSweep(objective, mesh, split)
        manifest = strict_json.dumps(objective.dataset.manifest, sort_keys=True)
        self._data = hashlib.sha256(manifest.encode()).hexdigest()

    def __call__(self, member: Member) -> None:
        """Evaluate a trained member, unless it failed or its stored result is still valid."""
        if failure_of(member) != "":
            return
        run, process = member.run, member.objective.process
        timesteps = timestep_grid(process, self._num_timesteps)
        asked = [self.split, timesteps.tolist(), self._data]
        if draws := member.objective.num_noise_draws:
            asked.append({"num_noise_draws": draws})
        question = strict_json.dumps(asked)
        before = member_result.load(run.workdir, self.split)
        if before and before.question == question:
            return
        experiment = run.experiment
        step, params = restore_best(
            run.workdir, experiment.config, experiment.model, experiment.mesh
        )
        evaluation = self._evaluate(params, process)
        sweep = self._sweep(params, process, timesteps)
        result = MemberResult(step, evaluation.confusions, timesteps, sweep, question)
        member_result.save(result, run.workdir, self.split)
        print(f"{member.name}: {evaluation.headline} on {self.split}", flush=True)

"""Evaluating trained members of a study: on the split that is asked for, and over timesteps."""

import hashlib
import json

from noise2map_jax import member_result
from noise2map_jax.cohorts import failure_of
from noise2map_jax.evaluator import MapEvaluator
from noise2map_jax.member_result import MemberResult
from noise2map_jax.run import restore_best
from noise2map_jax.study import Member, Study
from noise2map_jax.sweep import TimestepSweep, timestep_grid


class MemberEvaluator:
    """Evaluates the best parameters of members that share an executable; compiled once."""

    def __init__(self, study: Study, member: Member):
        objective, mesh = member.objective, member.run.experiment.mesh
        self._split = study.config.eval.split
        self._num_timesteps = study.config.study.num_timesteps
        self._evaluate = MapEvaluator(objective, mesh, self._split)
        self._sweep = TimestepSweep(objective, mesh, "val")
        manifest = json.dumps(objective.dataset.manifest, sort_keys=True)
        self._data = hashlib.sha256(manifest.encode()).hexdigest()

    def __call__(self, member: Member) -> None:
        """Evaluate a member, unless it is not trained, failed, or was asked the same before."""
        if failure_of(member) != "":
            return
        run, process = member.run, member.objective.process
        timesteps = timestep_grid(process, self._num_timesteps)
        asked = [self._split, timesteps.tolist(), self._data]
        if draws := member.objective.num_noise_draws:
            asked.append({"num_noise_draws": draws})
        question = json.dumps(asked)
        before = member_result.load(run.workdir)
        if before and before.question == question:
            return
        experiment = run.experiment
        step, params = restore_best(
            run.workdir, experiment.config, experiment.model, experiment.mesh
        )
        evaluation = self._evaluate(params, process)
        sweep = self._sweep(params, process, timesteps)
        result = MemberResult(step, evaluation.confusions, timesteps, sweep, question)
        member_result.save(result, run.workdir)
        print(f"{member.name}: {evaluation.headline} on {self._split}", flush=True)

"""The report of a study: tables for programs and papers, and a page."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from noise2map_jax.buckets.names import shown
from noise2map_jax.page.render import render_study, write_page
from noise2map_jax.reports.parts import command_line
from noise2map_jax.study import member_result, openings, tables
from noise2map_jax.study.cohorts import failure_of
from noise2map_jax.study.comparison import Comparison, compare
from noise2map_jax.study.cost_tables import costs_to_csv, costs_to_markdown
from noise2map_jax.study.member_result import MemberResult
from noise2map_jax.study.network_costs import read_costs
from noise2map_jax.study.page import Results, sample_of, study_page, undefined_scores
from noise2map_jax.study.study import SPLIT, Member, Study
from noise2map_jax.study.variant_scores import VariantScores


def write_report(study: Study) -> None:
    """Compare the variants; write `report/results.{csv,md,tex}` and `report/index.html`.

    If test was opened for all compared members, also write the scores on test to
    `report/final.{csv,md,tex}` and to the page. If the costs of networks were measured, write them
    to `report/costs.{csv,md}` and to the page.

    Raises:
        UserError: no seed of the reference was trained to its end.
    """
    failures = [(m, failure) for m in study.members if (failure := failure_of(m))]
    failed = [member for member, _ in failures]
    trained = [member for member in study.members if member not in failed]
    done = _results(trained, SPLIT)
    assert len(done) == len(trained)  # all trained members were evaluated before
    comparison = _compare(study, done, SPLIT)
    on_test = _on_test(done) if openings.load(study.workdir) else []
    final = _compare(study, on_test, "test") if on_test and len(on_test) == len(trained) else None
    note, costs = openings.describe(study), read_costs(study)
    page = study_page(study, done, failures, comparison, command_line(), note, final)
    page = dataclasses.replace(page, costs=costs)
    html = render_study(page)
    folder = study.workdir / "report"
    folder.mkdir(parents=True, exist_ok=True)
    _write_tables(study, comparison, SPLIT, folder / "results")
    for old in folder.glob("final.*"):
        old.unlink()  # these tables may be about other members
    if final:
        _write_tables(study, final, "test", folder / "final")
    for old in folder.glob("costs.*"):
        old.unlink()
    if costs:
        (folder / "costs.csv").write_text(costs_to_csv(costs))
        (folder / "costs.md").write_text(costs_to_markdown(costs))
        print(f"\n{costs_to_markdown(costs)}")
    write_page(html, folder / "index.html")
    print(f"\n{note}\npage: {shown(folder / 'index.html')}")


def _results(members: Sequence[Member], split: str) -> list[tuple[Member, MemberResult]]:
    """Return the members that were evaluated on a split, with their results."""
    loaded = [(member, member_result.load(member.run.workdir, split)) for member in members]
    return [(member, result) for member, result in loaded if result]


def _on_test(done: Results) -> list[tuple[Member, MemberResult]]:
    """Return the results on test with the networks, data and noise draws of validation."""
    loaded = _results([member for member, _ in done], "test")
    of_validation = {member.name: result for member, result in done}
    return [(m, r) for m, r in loaded if r.is_as(of_validation[m.name])]


def _compare(study: Study, done: Results, split: str) -> Comparison:
    dataset = study.members[0].objective.dataset
    places = dataset.record_places(split)
    return compare(
        _scores(study, done, len(places)),
        places,
        study.config.study.reference,
        places_known=dataset.places_known,
    )


def _write_tables(study: Study, comparison: Comparison, split: str, path: pathlib.Path) -> None:
    """Write the comparison on a split as `path` with three suffixes, and print it."""
    objective = study.members[0].objective
    dataset, protocol = f"{study.config.task} {objective.dataset.name}", objective.protocol(split)
    sample = sample_of(study, comparison, split)
    markdown = tables.to_markdown(comparison, sample)
    predicted = {member.variant.name: _predicted(member) for member in study.members}
    path.with_suffix(".csv").write_text(
        tables.to_csv(comparison, sample, dataset, protocol, objective.dataset.digest, predicted)
    )
    path.with_suffix(".md").write_text(markdown)
    path.with_suffix(".tex").write_text(tables.to_latex(comparison, sample))
    print(f"\n{protocol}\n\n{markdown}")
    for line in undefined_scores(study, comparison, split):
        print(f"warning: {line}")
    print("\n".join(difference.verdict for difference in comparison.differences))


def _predicted(member: Member) -> tables.Predicted:
    objective = member.objective
    timesteps = np.asarray(objective.process.inference_timesteps).tolist()
    return tables.Predicted(timesteps, objective.num_noise_draws)


def _scores(study: Study, done: Results, num_records: int) -> list[VariantScores]:
    """Return the counts of each variant for the seeds that did not fail."""
    num_classes = len(study.config.data.classes)
    scores = []
    for variant in study.variants:
        own = [(member, result) for member, result in done if member.variant == variant]
        empty = np.zeros((0, num_records, num_classes, num_classes), np.int64)
        counts = np.stack([result.confusions for _, result in own]) if own else empty
        scores.append(VariantScores(variant.name, tuple(m.seed for m, _ in own), counts))
    return scores

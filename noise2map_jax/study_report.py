"""What a study found, written for people and programs: tables and a page."""

import shlex
import sys

import numpy as np

from noise2map_jax import member_result, study_tables
from noise2map_jax.comparison import compare
from noise2map_jax.dataset import record_id, record_scene
from noise2map_jax.page.render import render_study, write_page
from noise2map_jax.study import Study
from noise2map_jax.study_page import Results, study_page
from noise2map_jax.variant_scores import VariantScores


def write_report(study: Study) -> None:
    """Compare the variants; write `report/results.{csv,md,tex}` and `report/index.html`.

    Raises:
        UserError: no seed of the reference was trained to its end.
    """
    results = []
    for member in study.members:
        result = member_result.load(member.run.workdir)
        assert result is not None, member.name  # all are done when this is called
        results.append((member, result))
    config, objective = study.config, study.members[0].objective
    scenes = [
        record_scene(record_id(record)) for record in objective.dataset.source(config.eval.split)
    ]
    comparison = compare(_scores(study, results), scenes, config.study.reference)
    folder = study.workdir / "report"
    folder.mkdir(parents=True, exist_ok=True)
    markdown = study_tables.to_markdown(comparison)
    dataset = f"{config.task} {objective.dataset.name}"
    (folder / "results.csv").write_text(study_tables.to_csv(comparison, dataset))
    (folder / "results.md").write_text(markdown)
    (folder / "results.tex").write_text(study_tables.to_latex(comparison))
    command = shlex.join(["python", "-m", "noise2map_jax.main", *sys.argv[1:]])
    page = render_study(study_page(study, results, comparison, command))
    write_page(page, folder / "index.html")
    print(f"\n{objective.protocol(config.eval.split)}\n\n{markdown}")
    print("\n".join(difference.verdict for difference in comparison.differences))
    print(f"page: {folder / 'index.html'}")


def _scores(study: Study, results: Results) -> list[VariantScores]:
    """The counts of each variant, of the seeds that did not fail."""
    num_classes = len(study.config.data.classes)
    scores = []
    for variant in study.variants:
        done = [(m, r) for m, r in results if m.variant == variant and not r.failure]
        empty = np.zeros((0, _num_records(results), num_classes, num_classes), np.int64)
        counts = np.stack([r.confusions for _, r in done]) if done else empty
        scores.append(VariantScores(variant.name, tuple(m.seed for m, _ in done), counts))
    return scores


def _num_records(results: Results) -> int:
    return max(len(result.confusions) for _, result in results)

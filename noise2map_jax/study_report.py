"""What a study found, written for people and programs: tables and a page."""

import numpy as np

from noise2map_jax import member_result, study_tables
from noise2map_jax.cohorts import failure_of
from noise2map_jax.comparison import compare
from noise2map_jax.dataset import record_id, record_scene
from noise2map_jax.page.render import render_study, write_page
from noise2map_jax.page_parts import command_line
from noise2map_jax.study import Study
from noise2map_jax.study_page import Results, study_page
from noise2map_jax.variant_scores import VariantScores


def write_report(study: Study) -> None:
    """Compare the variants; write `report/results.{csv,md,tex}` and `report/index.html`.

    Raises:
        UserError: no seed of the reference was trained to its end.
    """
    config, objective = study.config, study.members[0].objective
    done, failures = [], []
    for member in study.members:
        result = member_result.load(member.run.workdir)
        if failure := failure_of(member):
            failures.append((member, failure))
        else:
            assert result is not None, member.name  # all were evaluated before
            done.append((member, result))
    scenes = [
        record_scene(record_id(record)) for record in objective.dataset.source(config.eval.split)
    ]
    comparison = compare(_scores(study, done, len(scenes)), scenes, config.study.reference)
    protocol = objective.protocol(config.eval.split)
    markdown = study_tables.to_markdown(comparison)
    page = render_study(study_page(study, done, failures, comparison, command_line()))
    folder = study.workdir / "report"
    folder.mkdir(parents=True, exist_ok=True)
    dataset = f"{config.task} {objective.dataset.name}"
    (folder / "results.csv").write_text(study_tables.to_csv(comparison, dataset, protocol))
    (folder / "results.md").write_text(markdown)
    (folder / "results.tex").write_text(study_tables.to_latex(comparison))
    write_page(page, folder / "index.html")
    print(f"\n{protocol}\n\n{markdown}")
    print("\n".join(difference.verdict for difference in comparison.differences))
    print(f"page: {folder / 'index.html'}")


def _scores(study: Study, done: Results, num_records: int) -> list[VariantScores]:
    """The counts of each variant, of the seeds that did not fail."""
    num_classes = len(study.config.data.classes)
    scores = []
    for variant in study.variants:
        own = [(member, result) for member, result in done if member.variant == variant]
        empty = np.zeros((0, num_records, num_classes, num_classes), np.int64)
        counts = np.stack([result.confusions for _, result in own]) if own else empty
        scores.append(VariantScores(variant.name, tuple(m.seed for m, _ in own), counts))
    return scores

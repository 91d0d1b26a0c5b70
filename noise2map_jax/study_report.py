"""What a study found, written for people and programs."""

from noise2map_jax.study import Study


def write_report(study: Study) -> None:
    """Compare the variants, and write tables and page into `report/`."""

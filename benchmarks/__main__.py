"""Run a benchmark: `python -m benchmarks NAME [options]` prints the machine and the result."""

import argparse
import sys

from benchmarks import (
    accelerator,
    averaged_statistics,
    data_prep,
    exported,
    family_error,
    initial_share,
    input_pipeline,
    map_scores,
    mapping,
    mutation,
    network,
    recipes,
    study,
    study_scores,
    training,
    transfer,
    uncertainty,
)

BENCHMARKS = {
    "accelerator": accelerator,
    "averaged_statistics": averaged_statistics,
    "network": network,
    "exported": exported,
    "training": training,
    "input_pipeline": input_pipeline,
    "data_prep": data_prep,
    "transfer": transfer,
    "recipes": recipes,
    "initial_share": initial_share,
    "study": study,
    "study_scores": study_scores,
    "map_scores": map_scores,
    "mapping": mapping,
    "mutation": mutation,
    "family_error": family_error,
    "uncertainty": uncertainty,
}


def main() -> int:
    """Call a benchmark by its name; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    for name, module in BENCHMARKS.items():
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0])
        module.add_arguments(command)
        command.add_argument(
            "--output",
            default="",
            help="JSON file to write the result to; empty = none, or the usual",
        )
    arguments = parser.parse_args()
    return BENCHMARKS[arguments.name].run(arguments) or 0


if __name__ == "__main__":
    sys.exit(main())

"""How networks are laid out in an export: their files, and what a card says about them."""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from noise2map_jax.weights.finished_run import FinishedRun


@dataclasses.dataclass(frozen=True)
class About:
    """What is said of a network on the card of its weights.

    Attributes:
        title: name of the network.
        tags: words that it is found by on the hub.
        introduction: first paragraph.
        uses: ways to load the files, with code; `FOLDER` stands for the export.
        citation: BibTeX of what the weights come from; "" = none.
    """

    title: str
    tags: tuple[str, ...]
    introduction: str
    uses: tuple[str, ...]
    citation: str = ""


@dataclasses.dataclass(frozen=True)
class Layout:
    """The files of a kind of networks.

    Attributes:
        write: `(folder, run, max_shard_size)` -> tasks with a full model, and what each file is, by
            name. Other files of an earlier export are gone already.
        read: `(folder, config, model, tasks)` -> the whole tree of parameters.
        about: run -> what the card says.
        splits: whether large files can be split.
    """

    write: Callable[[pathlib.Path, FinishedRun, int | None], tuple[list[str], dict[str, str]]]
    read: Callable[[pathlib.Path, ConfigDict, Any, list[str]], dict[str, Any]]
    about: Callable[[FinishedRun], About]
    splits: bool

"""The same image in two splits: a score on one of them would know what was trained on (pure)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from data_prep.ground import rejection
from data_prep.ground.dataset import SPLITS, Dataset, Scene, in_order

_NOT_IMAGES = ("mask", "label", "udm", "metadata")  # Last words of roles.


def without_twins(dataset: Dataset, digests: Mapping[Path, str]) -> Dataset:
    """Leave scenes out so that no image lies in two splits, byte for byte.

    Test keeps its images, so that scores on it stay comparable, and val keeps its own against
    train.

    Args:
      dataset: The dataset.
      digests: Checksum of each file.

    Returns:
      The dataset without the scenes that show an image of a later split; their files are rejected,
      but for those that other scenes use.
    """
    twins = find(dataset.scenes, digests)
    if not twins:
        return dataset
    assert dataset.source is not None
    kept: list[Scene] = []
    reasons: dict[Path, str] = {}
    partners: dict[Path, Path] = {}
    for scene in dataset.scenes:
        causes = [path for path in scene.files.values() if (scene.split, path) in twins]
        if not causes:
            kept.append(scene)
            continue
        for path in causes:
            split, twin = twins[scene.split, path]
            reasons[path] = (
                "is the same image, byte for byte, as"
                f" {twin.relative_to(dataset.source).as_posix()} of {split}"
            )
        partners |= dict.fromkeys(scene.files.values(), causes[0])
    used = {path for scene in kept for path in scene.files.values()}
    rejected = rejection.account(dataset.source, reasons, partners, used)
    return replace(dataset, scenes=in_order(kept), rejected=(*dataset.rejected, *rejected))


def find(
    scenes: Iterable[Scene], digests: Mapping[Path, str]
) -> dict[tuple[str, Path], tuple[str, Path]]:
    """Find images that are the same in two splits.

    Args:
      scenes: The scenes of all splits.
      digests: Checksum of each file.

    Returns:
      (split, image) -> (later split that shows the same, an image there), of train, val, test.
      Masks may well be the same. A file that is divided among splits by windows is no twin of
      itself.
    """
    places: dict[str, dict[str, dict[Path, None]]] = defaultdict(lambda: defaultdict(dict))
    for scene in scenes:
        for role, path in scene.files.items():
            if role.split("_")[-1] not in _NOT_IMAGES and path in digests:
                places[digests[path]][scene.split][path] = None
    twins = {}
    for by_split in places.values():
        last = max(by_split, key=SPLITS.index)
        for split, paths in by_split.items():
            for path in paths:
                if split != last and path not in by_split[last]:
                    twins[split, path] = (last, next(iter(by_split[last])))
    return twins

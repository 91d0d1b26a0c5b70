"""Finds the same image in two splits: a score on it would measure what was memorised (pure)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from data_prep.basics import rejection
from data_prep.basics.dataset import SPLITS, Dataset, Scene, in_order

_NOT_IMAGES = ("mask", "label", "udm", "metadata")  # Last words of roles.


def without_twins(dataset: Dataset, digests: Mapping[Path, str]) -> Dataset:
    """Leave out scenes so that no image, compared byte for byte, lies in two splits.

    Of two splits with the same image the later one keeps it: test keeps all its images, so that
    scores on test stay comparable.

    Args:
      dataset: The dataset.
      digests: Checksum of each file.

    Returns:
      The dataset without the scenes that show an image of a later split. Files of these scenes are
      rejected unless other scenes use them.
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
      (split, image) -> (later split with the same image, its path there); the order is train, val,
      test. Masks may be the same. A file that is divided among splits by windows is no twin of
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

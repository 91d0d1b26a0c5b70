"""The names that people give to images, dates, masks and splits, and how a name is read (pure).

This is the one table of such names. A name is cut into words, and every word must be known:
`img_dir`, `Pre-Event`, `JPEGImages`, `train_masks`. Case, Unicode form, '-', '_', '.' and ' ' do
not matter.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


IMAGES = _words(
    "image images img imgs im ims picture pictures photo photos sat satellite rgb ortho orthos"
    " orthophoto orthophotos orthoimage orthoimages aerial imagery jpegimages input inputs"
)
MASKS = _words(
    "mask masks label labels lbl lbls gt gts groundtruth annotation annotations ann anns annot"
    " annots seg segmentation segmentations segmentationclass labelmap labelmaps map maps out"
    " output outputs target targets reference references"
)
CHANGES = _words(
    "change changes changemap changemask cm cd diff difference"
)  # Masks of pairs only.
EARLIER = _words("a pre before old past earlier previous")
LATER = _words("b post after new present later current")
TIMES = _words("t time date phase temporal epoch period")  # A number after them is a date.
SPLIT_WORDS = {
    **dict.fromkeys(_words("train training trn trainset"), "train"),
    **dict.fromkeys(_words("val valid validation dev valset"), "val"),
    **dict.fromkeys(_words("test testing tst testset"), "test"),
}
# Words that say nothing of their own beside one of those above.
_QUALIFIERS = _words(
    "building buildings roof roofs footprint footprints road roads binary bn class classes semantic"
    " event disaster dir dirs folder folders file files data dataset set sets split png jpg jpeg"
    " tif tiff list ids id names"
)
_KNOWN = IMAGES | MASKS | CHANGES | EARLIER | LATER | TIMES | _QUALIFIERS | {"ground", *SPLIT_WORDS}
_MOST_USUAL = {
    "image": "images, img, img_dir, JPEGImages, sat, rgb, ortho",
    "mask": "masks, labels, gt, ann_dir, SegmentationClass, map, annotations, OUT",
    "pre": "A, t1, im1, img1, image1, time1, pre, before",
    "post": "B, t2, im2, img2, image2, time2, post, after",
    "change": "label, gt, OUT, cm, change, mask",
}
KNOWN_LAYOUTS = (
    f"--task=ss: images ({_MOST_USUAL['image']}) with masks ({_MOST_USUAL['mask']});"
    f" --task=cd: an earlier date ({_MOST_USUAL['pre']}), a later one ({_MOST_USUAL['post']}) and"
    f" the change ({_MOST_USUAL['change']}); as folders, or at an end of file names (x_mask)"
)
# Names so typical that a folder of nearly the same name is probably meant to be one.
TYPICAL = {
    **dict.fromkeys(("masks", "labels", "annotations", "ground_truth", "targets"), "mask"),
    **dict.fromkeys(("mask", "label", "target", "segmentation"), "mask"),
}

SEPARATORS = "-_. "
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?(\d\d)[-_.]?(\d\d)(?!\d)")
_YEAR = re.compile(r"(?:19|20)\d\d(?:\d{4})?")
_BORDERS = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_TYPES = re.compile(r"(?i)u?int(8|16|32)|float(32|64)|(8|16|32)[-_ ]?bits?")  # Of pixels.
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def nfc(text: str) -> str:
    """Return a name in Unicode's form NFC: file systems keep `ü` as one character or as two."""
    return unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """Return a name without regard to case, Unicode form and kind of separator."""
    return re.sub(r"[-_. ]+", "_", nfc(nfc(text).casefold())).strip("_")


def common_folders(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the first folders that all paths share."""
    shortest = min(folders, key=len, default=())
    for index, folder in enumerate(shortest):
        if any(parts[index] != folder for parts in folders):
            return shortest[:index]
    return shortest


@functools.lru_cache(maxsize=65536)
def words(name: str) -> tuple[str, ...]:
    """Cut a name into words, in lower case: Pre-Event -> pre, event; im1 -> im, 1.

    A word that is not known is cut further, at humps (imgDir) and between known words (changemask).
    """
    found: list[str] = []
    text = _TYPES.sub(" ", _DATE.sub(r"\1\2\3", nfc(name)))
    for piece in re.split(r"[-_.\s]+", text):
        for part in _BORDERS.sub(" ", piece).split():
            found += _known_words(part)
    joined = " ".join(found).replace("ground truth", "groundtruth")
    return tuple(joined.split())


def _known_words(part: str) -> list[str]:
    whole = part.casefold()
    if whole in _KNOWN or whole.isdigit():
        return [whole]
    humps = [hump.casefold() for hump in _HUMPS.sub(" ", part).split()]
    if len(humps) > 1 and all(hump in _KNOWN for hump in humps):
        return humps
    return _cut(whole) or [whole]


@functools.lru_cache(maxsize=65536)
def _cut(text: str) -> list[str] | None:
    """Cut a glued name into known words of three letters or more; a or b may end it."""
    for length in range(len(text) - 1, 2, -1):
        first, rest = text[:length], text[length:]
        if first not in _KNOWN:
            continue
        if rest in _KNOWN and (len(rest) > 2 or (rest in "ab" and first in IMAGES | MASKS)):
            return [first, rest]
        if more := _cut(rest):
            return [first, *more]
    return None


def split_of(name: str) -> str | None:
    """Return the split that a folder or list names, as train_set and images_train do."""
    found = words(name)
    named = {SPLIT_WORDS[word] for word in found if word in SPLIT_WORDS}
    others = [word for word in found if word not in SPLIT_WORDS]
    # Short numbers tell one test from another (test2); long ones are years or sizes (train2017).
    known = all(word in _KNOWN or (word.isdigit() and len(word) > 2) for word in others)
    return named.pop() if len(named) == 1 and known else None


def names_split_alone(name: str) -> bool:
    """Return whether a folder names a split and no role."""
    return split_of(name) is not None and not names_role(name)


def names_role(name: str) -> bool:
    """Return whether a word in the name of a folder stands for a role."""
    return bool((IMAGES | MASKS | CHANGES | EARLIER | LATER) & set(words(name)))


def year_of(name: str) -> str | None:
    """Return the one year or date in a name of nothing else but known words: 2012, 20120501."""
    found = words(name)
    years = [word for word in found if _YEAR.fullmatch(word)]
    others = [word for word in found if word not in years]
    known = all(word in IMAGES | TIMES | _QUALIFIERS for word in others)
    return years[0] if len(years) == 1 and known else None


def number_of(name: str) -> str | None:
    """Return the number that counts dates in a name such as t1, im_2 or image0."""
    found = words(name)
    numbers = [word for word in found if word.isdigit()]
    others = set(found) - set(numbers)
    if len(numbers) != 1 or not others & (IMAGES | TIMES) or not others <= _KNOWN:
        return None
    return numbers[0].lstrip("0") or "0"


@dataclass(frozen=True)
class Names:
    """Reads roles from names, for one task.

    Attributes:
      task: ss or cd.
      folder_dates: What a number or year in the name of a folder means: pre or post.
      stem_dates: The same in the names of files.
      given: Names that the user gives, folded -> role; no other name has one of these roles.
      masked: Roles that only names given by the user have.
    """

    task: str
    folder_dates: Mapping[str, str] = field(default_factory=dict)
    stem_dates: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    masked: frozenset[str] = frozenset()
    # A folder holds many files: what its name says is found once.
    _of_folders: dict[str, str | None] = field(default_factory=dict, init=False, repr=False)
    _known: dict[str, bool] = field(default_factory=dict, init=False, repr=False)

    def of_folder(self, name: str) -> str | None:
        """Return the role of a folder: image, pre, post, mask or date_mask; None if it has none.

        A date_mask shows what is there at one date of a pair, not what changed.
        """
        if name not in self._of_folders:
            role = self.given.get(fold(name))
            if role is None:
                role = self._of_words(words(name), self.folder_dates)
                role = None if role in self.masked else role
            self._of_folders[name] = role
        return self._of_folders[name]

    def of_affix(self, name: str) -> str | None:
        """Return the role that an end of a file name stands for, as of_folder does."""
        if self.given and (role := self.given.get(fold(name))) is not None:
            return role
        for piece in re.split(r"[-_.\s]+", name):
            # In img_1 the number counts the images; in x_2012 it is a date if two years are there.
            if piece.isdigit() and not (piece in self.stem_dates and _YEAR.fullmatch(piece)):
                return None
        found = words(name)
        if set(found) & SPLIT_WORDS.keys():
            return None
        role = self._of_words(found, self.stem_dates)
        return None if role in self.masked else role

    def is_known(self, name: str) -> bool:
        """Return whether the name of a folder tells a role, even if the user overrules it."""
        if name not in self._known:
            self._known[name] = (
                fold(name) in self.given
                or self._of_words(words(name), self.folder_dates) is not None
            )
        return self._known[name]

    def _of_words(self, found: Iterable[str], dates: Mapping[str, str]) -> str | None:
        named = set(found) - SPLIT_WORDS.keys()
        numbers = {word for word in named if word.isdigit()}
        named -= numbers
        has_image, has_mask = bool(named & IMAGES), bool(named & MASKS)
        has_change, has_time = bool(named & CHANGES), bool(named & TIMES)
        if not named <= _KNOWN or "ground" in named:
            return None
        when = {"pre" for _ in named & EARLIER} | {"post" for _ in named & LATER}
        for number in numbers:
            short = number.lstrip("0") or "0"
            is_year = bool(_YEAR.fullmatch(number))
            if number in dates and is_year:
                when.add(dates[number])
            elif short in dates and (has_image or has_mask or has_time):
                when.add(dates[short])
            elif len(number) < 3 or not (has_image or has_mask):
                return None
        if len(when) > 1:
            return None
        if when:
            if self.task == "ss":
                return None
            return "date_mask" if has_mask else when.pop()
        if has_mask or (has_change and self.task == "cd"):
            return "mask"
        return "image" if has_image and not has_change else None

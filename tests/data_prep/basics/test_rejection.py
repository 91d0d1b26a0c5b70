"""Rejected files are listed for people: many of one kind in one line, with what mends them."""

import subprocess
import sys

import pytest
from PIL import Image

from data_prep.basics.errors import UserError
from data_prep.basics.rejection import Rejection, check, listing
from data_prep.basics.remedies import remedy
from data_prep.imagery.image_file import read_image


def rejections(*reasons):
    return [Rejection(f"images/{i}.tif", reason) for i, reason in enumerate(reasons)]


def test_three_files_of_one_reason_are_three_lines():
    head, *lines = listing(rejections(*["is empty"] * 3), 9, " (hint)").split("\n")
    assert head == "3 of 9 files cannot be used (hint)"
    assert lines == [f"images/{i}.tif: is empty" for i in range(3)]


def test_four_files_of_one_reason_are_one_line_with_three_names():
    head, line = listing(rejections(*["is empty"] * 4), 9).split("\n")
    assert head == "4 of 9 files cannot be used"
    assert line == "4 files (images/0.tif, images/1.tif, images/2.tif, ...): is empty"


def test_numbers_and_names_of_files_make_no_other_kind():
    sizes = [f"has {i} x {i} pixels, but images/{i}.png has {i} x 9" for i in range(1, 6)]
    head, line, other = listing(rejections(*sizes, "is empty"), 9).split("\n")
    assert head == "6 of 9 files cannot be used"
    assert line == (
        "5 files (images/0.tif, images/1.tif, images/2.tif, ...), each as images/0.tif: has 1 x 1"
        " pixels, but images/1.png has 1 x 9"
    )
    assert other == "images/5.tif: is empty"


def test_partners_are_not_listed_and_one_file_is_one_line():
    partner = Rejection("masks/0.png", "its partner images/0.tif is rejected", is_cause=False)
    with pytest.raises(UserError, match=r"^images/0\.tif: is empty \(--on_error=skip goes on with"):
        check([*rejections("is empty"), partner], 2, "fail")


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        ("has pixels of mode CMYK; expected grey or RGB", ".convert('RGB')"),
        (".bmp files are not read", "Image.open('IN').save('OUT.png')"),
        (".jp2 files are not read", "gdal_translate IN OUT.tif"),
        ("has 9 x 9 pixels, more than 8: cut it into smaller scenes", "gdal_retile.py"),
    ],
)
def test_what_mends_a_reason_stands_once_at_the_end_of_its_line(reason, how):
    (line,) = listing(rejections(*[reason] * 9), 9).split("\n")[1:]
    assert line.count(how) == 1
    assert line.index(how) > line.index(reason)
    assert how not in listing(rejections("is empty"), 1)


@pytest.mark.parametrize(
    ("reason", "mode", "suffix", "read"),
    [
        ("has pixels of mode CMYK", "CMYK", ".jpg", read_image),
        (".bmp files are not read", "RGB", ".bmp", read_image),
        (".gif files are not read", "P", ".gif", read_image),
        (".webp files are not read", "RGB", ".webp", read_image),
    ],
)
def test_commands_of_python_make_files_that_are_read(tmp_path, reason, mode, suffix, read):
    source, target = tmp_path / f"in{suffix}", tmp_path / "out.png"
    Image.new(mode, (8, 8)).save(source)
    code = (remedy(reason) or "").split('python -c "')[1].rstrip('"')
    code = code.replace("IN", str(source)).replace("OUT.png", str(target))
    subprocess.run([sys.executable, "-c", code], check=True)
    read(target)

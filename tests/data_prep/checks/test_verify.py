"""`data_prep verify`: a right dataset passes; whatever is wrong with another is named."""

import json

import numpy as np
import prepared_datasets
import pytest
from PIL import Image

from data_prep.__main__ import main
from data_prep.checks import contact_sheet
from data_prep.shards import prepared, records, writer

SHARD = "toy-train.array_record-00000-of-00003"
# Entries of the manifest with a value for each scene -> one of a scene that is not there.
LISTS = {"scenes": "s9", "places": "train/s9", "scene_records": 4}
LAST = "toy-train.array_record-00002-of-00003"


def verify(folder, capsys, *options):
    """Run the command; return its exit code and the lines of its findings."""
    capsys.readouterr()
    code = main(["verify", str(folder), "--num_workers=1", *options])
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("data_prep: error: ")]
    return code, lines[starts[0] :] if starts else []


def edit(folder, change):
    """Change the manifest in place."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("task", "num_bands", "dtype"),
    [("ss", 3, "uint8"), ("cd", 4, "uint16"), ("denoise", 1, "uint8")],
)
def test_a_right_dataset_passes_by_either_folder(
    tmp_path, monkeypatch, capsys, task, num_bands, dtype
):
    options = {"task": task, "num_bands": num_bands, "dtype": dtype}
    _, folder = prepared_datasets.write(tmp_path, monkeypatch, **options)
    assert verify(folder, capsys) == (0, [])
    sheet = tmp_path / "elsewhere/sheet.png"
    assert verify(folder.parent, capsys, f"--output={sheet}") == (0, [])
    assert sheet.read_bytes() == (folder / "contact_sheet.png").read_bytes()


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (
            lambda m: m["splits"]["train"]["class_pixels"].__setitem__(1, 174),
            "train: class_pixels is [3100, 175], but the manifest says [3100, 174]",
        ),
        (
            lambda m: m["splits"]["test"].update(ignore_pixels=0),
            "test: ignore_pixels is 828, but the manifest says 0",
        ),
        (
            lambda m: m["splits"]["train"].update(num_with_change=20),
            "train: num_with_change is 5, but the manifest says 20",
        ),
        (
            lambda m: m["splits"]["train"]["bands"][1].update(mean=1, std=2, low=3, high=4),
            "train: band 1 has {}, but the manifest says mean 1, std 2, low 3, high 4",
        ),
        (
            lambda m: m["splits"]["test"].pop("bands"),
            "test: the manifest lists no bands, but the records have 3",
        ),
        (
            lambda m: m["splits"]["test"].update(num_records=9),
            "test: has 8 records, but the manifest says 9",
        ),
        (
            lambda m: [m["splits"]["train"][key].pop(3) for key in LISTS],
            "train/s3/r00000_c00000: the manifest lists no scene s3 in this split",
        ),
        (
            lambda m: [m["splits"]["train"][key].append(v) for key, v in LISTS.items()],
            "train: scene s9 has no record",
        ),
        (
            lambda m: m["splits"]["train"]["places"].__setitem__(1, "elsewhere"),
            "train/s1/r00000_c00000: its place is 'train/s1', but the manifest says 'elsewhere'",
        ),
        (
            lambda m: m["splits"]["train"].update(num_places=4),
            "train: the manifest says 4 places but lists 5",
        ),
        (
            lambda m: m["splits"]["train"]["scene_records"].__setitem__(1, 3),
            "train: scene s1 has 4 records, but the manifest says 3",
        ),
        (
            lambda m: m["splits"]["train"]["scenes"].reverse(),
            "train: the scenes are not in the order of the manifest",
        ),
        (
            lambda m: m["splits"].update(val=m["splits"].pop("test")),
            "test: the shards have this split, but the manifest does not",
        ),
        (lambda m: m["shards"].pop(SHARD), f"{SHARD}: the manifest does not list this shard"),
        (lambda m: m["shards"].update(other="0"), "other: is missing"),
        (
            lambda m: m.update(num_bands=4),
            "train/s0/r00000_c00000: pre is uint8 [16, 16, 3], not uint8 [16, 16, 4]",
        ),
        (
            lambda m: m.update(dtype="uint16"),
            "train/s0/r00000_c00000: post is uint8 [16, 16, 3], not uint16 [16, 16, 3]",
        ),
        (lambda m: m.update(found=3), "manifest: 0 files used + 0 rejected is not 3 found"),
    ],
)
def test_what_the_manifest_says_wrongly_is_named(tmp_path, monkeypatch, capsys, change, finding):
    _, folder = prepared_datasets.write(tmp_path, monkeypatch, task="cd")
    band = json.loads((folder / "manifest.json").read_text())["splits"]["train"]["bands"][1]
    edit(folder, change)
    code, lines = verify(folder, capsys)
    assert code == 2
    assert finding.format(", ".join(f"{key} {value}" for key, value in band.items())) in lines
    assert lines[0] == f"data_prep: error: {folder}: {len(lines) - 1} finding(s)"


def wrong_record(monkeypatch, change):
    """Let the writer go wrong on the second tile of train's scene s2."""
    right = records.scene_records

    def wrong(load, layout, scene):
        result = right(load, layout, scene)
        if (scene.split, scene.name) == ("train", "s2"):
            change(result.records)
        return result

    monkeypatch.setattr(writer, "scene_records", wrong)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (
            lambda r: r[0][1].update(has_change=False),
            "train/s2/r00000_c00000: has_change is False, but its mask says True",
        ),
        (
            lambda r: r[1][1].update(mask=np.full((16, 16, 1), 7, np.uint8)),
            "train/s2/r00000_c00016: mask holds 7; expected 2 classes and 255",
        ),
        (
            lambda r: r[1][1].update(id="train/s2"),
            "train/s2: its id is not train/SCENE/rROW_cCOLUMN",
        ),
        (
            lambda r: r[1][1].update(id="test/s2/r00000_c00016"),
            "test/s2/r00000_c00016: its id is not train/SCENE/rROW_cCOLUMN",
        ),
        (
            lambda r: r[1][1].update(id="train/s2/r00000_c00000"),
            "train/s2/r00000_c00000: the record exists twice",
        ),
        (lambda r: r.pop(1), "train/s2: tile r00000_c00016 is missing"),
        (lambda r: r.append(r[0]), "train/s2: tile r00000_c00000 is there twice"),
        (
            lambda r: r.reverse(),
            "train/s2: its tiles are not ordered by rows and columns",
        ),
        (
            lambda r: r[3][1].update(id="train/s0/r00016_c00016"),
            "train: the records of scene s0 are not together",
        ),
    ],
)
def test_wrong_records_are_named(tmp_path, monkeypatch, capsys, change, finding):
    wrong_record(monkeypatch, change)
    _, folder = prepared_datasets.write(tmp_path, monkeypatch, task="cd")
    code, lines = verify(folder, capsys)
    assert code == 2
    assert finding in lines


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "missing"])
def test_a_damaged_shard_is_named_and_the_others_are_read(tmp_path, monkeypatch, capsys, damage):
    _, folder = prepared_datasets.write(tmp_path, monkeypatch)
    path = folder / LAST
    data = bytearray(path.read_bytes())
    data[prepared_datasets.first_record(data)] ^= 4
    contents = {"flip": data, "cut": data[: len(data) // 2], "empty": b""}
    path.unlink() if damage == "missing" else path.write_bytes(contents[damage])
    code, lines = verify(folder, capsys)
    assert code == 2
    hashed = "is missing" if damage == "missing" else "its SHA-256 is "
    assert any(line.startswith(f"{LAST}: {hashed}") for line in lines)
    number = 1 if damage == "flip" else 4
    start = f"{LAST}: {number} of 4 records cannot be read ("
    assert any(line.startswith(start) for line in lines)
    assert len(lines) == 3
    assert (folder / "contact_sheet.png").exists()


def test_source_files_are_compared(tmp_path, monkeypatch, capsys):
    source = tmp_path / "source"
    source.mkdir()
    _, folder = prepared_datasets.write(tmp_path, monkeypatch, source=source)
    option = f"--source={source}"
    assert verify(folder, capsys, option) == (0, [])
    (source / "train_0.png").write_bytes(b"other")
    (source / "train_1.png").unlink()
    code, lines = verify(folder, capsys, option)
    assert code == 2
    assert [line.split(" is ")[0] for line in lines[1:]] == [
        "train_0.png: its SHA-256",
        "train_1.png:",
    ]
    assert verify(folder, capsys)[0] == 0
    assert "not found" in verify(folder, capsys, "--source=nowhere")[1][0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("manifest.json", None, "holds no complete dataset"),
        ("manifest.json", "{", "not a manifest"),
        ("manifest.json", '{"format": 2}', "name is None, not str"),
        ("manifest.json", "{}", "written in format 1, but this version reads format 2"),
        ("dataset_info.json", "{", "TFDS cannot open it"),
        ("features.json", "[]", "TFDS cannot open it"),
    ],
)
def test_what_is_no_whole_dataset_is_one_line(
    tmp_path, monkeypatch, capsys, name, content, message
):
    _, folder = prepared_datasets.write(tmp_path, monkeypatch)
    (folder / name).unlink() if content is None else (folder / name).write_text(content)
    code, lines = verify(folder, capsys)
    assert (code, len(lines)) == (2, 1)
    assert message in lines[0]


def test_two_workers_find_the_same(tmp_path, monkeypatch, capsys):
    _, folder = prepared_datasets.write(tmp_path, monkeypatch, task="cd")
    edit(folder, lambda m: m["splits"]["train"].update(num_with_change=20, ignore_pixels=1))
    one = verify(folder, capsys)
    assert verify(folder, capsys, "--num_workers=2") == one
    assert len(one[1]) == 3


def test_the_sheet_shows_the_outline_of_a_mask(tmp_path, monkeypatch):
    """A square of 7 x 5 pixels in a tile of 16, each pixel drawn as 12: inner edge of 84 x 60."""
    _, folder = prepared_datasets.write(tmp_path, monkeypatch, counts=(1, 1))

    opened = prepared.open_prepared(folder)
    output = tmp_path / "sheet.png"
    assert contact_sheet.draw(opened, {}, 4, output) == 8
    sheet = np.array(Image.open(output))
    yellow = (sheet == contact_sheet.COLOURS[0]).all(-1)
    legend = 2 * 11 * 11  # A filled square of each split's heading, inside its border.
    assert yellow.sum() == 2 * (2 * (84 + 60) - 4) + legend
    rows, columns = np.nonzero(yellow[30 : 30 + 192, :198])
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (84, 60)
    assert (rows.min(), columns.min()) == (2 * 12, 6 + 3 * 12)


def test_sixteen_bits_are_stretched(tmp_path, monkeypatch):
    """Values of 0 to 400 of 65535 must not come out black."""
    right = prepared_datasets.draw

    def dark(*arguments):
        arrays = right(*arguments)
        return arrays | {"image": arrays["image"] % 400}

    monkeypatch.setattr(prepared_datasets, "draw", dark)
    options = {"num_bands": 8, "dtype": "uint16", "counts": (2, 1)}
    _, folder = prepared_datasets.write(tmp_path, monkeypatch, **options)
    assert main(["verify", str(folder), "--num_workers=1"]) == 0
    first = np.array(Image.open(folder / "contact_sheet.png"))[30 : 30 + 192, 6:198]
    assert first.std() > 50
    assert first.max() == 255

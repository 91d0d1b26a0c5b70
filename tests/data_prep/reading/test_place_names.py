"""What users say of places: patterns and tables."""

import pytest
from folder_builds import error, picture, run, save

from data_prep.basics.errors import UserError
from data_prep.reading import place_names


def table(tmp_path, text):
    path = tmp_path / "places.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_names_scenes_with_or_without_suffix(tmp_path):
    text = (
        "\ufeffscene,remark,place\na.png,x,Port\u00e1\nsub/b.TIF,,north\nc.1, ,south\nd, ,east \n"
    )
    names = place_names.by_table(table(tmp_path, text))
    assert [names.place_of(name) for name in ("a", "a.png", "sub/b", "c.1", "d")] == [
        "Port\u00e1",
        "Port\u00e1",
        "north",
        "south",
        "east",
    ]
    assert [names.place_of(name) for name in ("b", "c", "A", "")] == [""] * 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name,place\na,b\n", "no column scene in the first line, 'name,place'; expected"),
        ("", "no column place, scene in the first line"),
        ("scene,place\na,b\na,c\n", "line 3 says that a lies in c, but an earlier line says b"),
        ("scene,place\na,b\nc,\n", "line 3 has no scene or no place"),
        ("scene,place\na\n", "line 2 has no scene or no place"),
        ('scene,place\n"a,b\n', "cannot be read"),
    ],
)
def test_a_table_that_says_nothing_clear_is_refused(tmp_path, text, told):
    with pytest.raises(UserError, match=told):
        place_names.by_table(table(tmp_path, text))


def test_a_table_that_is_not_there_or_no_text_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        place_names.by_table(tmp_path / "places.csv")
    (tmp_path / "places.csv").write_bytes(b"scene,place\n\xff,a\n")
    with pytest.raises(UserError, match="cannot be read"):
        place_names.by_table(tmp_path / "places.csv")


def test_one_way_of_naming_at_a_time(tmp_path, capsys):
    save(tmp_path / "own/image/a.png", picture(1, 32, 32))
    path = table(tmp_path, "scene,place\nz,one\n")
    assert run(tmp_path / "own", f"--places={path}", "--group_regex=(.)") == 2
    assert "not allowed with" in error(capsys)[0]
    assert run(tmp_path / "own", f"--places={path}") == 2
    assert f"--places={path}: gives a place to none of 1 scenes, such as a" in error(capsys)[0]

import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.mapping.scene_list import SceneFiles, scene_list
from noise2map_jax.mapping.scene_map import MapFiles


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return str(folder)


def test_a_file_is_a_scene(tmp_path):
    scene = SceneFiles(["a.tif", "b.tif"], MapFiles("m.tif", "p.tif"), "p.gpkg")
    assert scene_list(scene) == [scene]


def test_images_of_two_folders_belong_together_by_name(tmp_path):
    before = touch(tmp_path / "A", "x.TIF", "y.png", "y.png.aux.xml", ".z.png")
    after = touch(tmp_path / "B", "y.jpg", "x.tif")
    out = str(tmp_path / "maps" / "classes")
    polygons = str(tmp_path / "polygons")
    found = scene_list(
        SceneFiles([before, after], MapFiles(out, every_class=True), f"{polygons}/*.geojson", out)
    )
    assert [scene.images for scene in found] == [
        [f"{before}/x.TIF", f"{after}/x.tif"],
        [f"{before}/y.png", f"{after}/y.jpg"],
    ]
    assert [scene.maps for scene in found] == [
        MapFiles(f"{out}/{name}.tif", every_class=True) for name in "xy"
    ]
    assert [scene.polygons for scene in found] == [f"{polygons}/{name}.geojson" for name in "xy"]
    assert [scene.preview for scene in found] == [f"{out}/{name}.png" for name in "xy"]
    assert (tmp_path / "maps" / "classes").is_dir()


def test_images_of_two_lists_belong_together_by_order(tmp_path):
    for name, lines in (("a", "x.tif\r\n\n /abs/y.tif \n"), ("b", "\ufeffz.tif\nw.tif")):
        (tmp_path / f"{name}.txt").write_text(lines, encoding="utf-8")
    lists = [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]
    found = scene_list(SceneFiles(lists, MapFiles(str(tmp_path / "o"))))
    assert [scene.images for scene in found] == [
        [f"{tmp_path}/x.tif", f"{tmp_path}/z.tif"],
        ["/abs/y.tif", f"{tmp_path}/w.tif"],
    ]


def test_a_folder_may_have_a_dot_in_its_name(tmp_path):
    images = touch(tmp_path / "images", "x.tif")
    touch(tmp_path / "old.tif")
    for name in ("maps.v2", "old.tif"):
        (scene,) = scene_list(SceneFiles([images], MapFiles(str(tmp_path / name))))
        assert scene.maps.classes == f"{tmp_path / name}/x.tif"


def test_mistakes_are_named(tmp_path):
    a = touch(tmp_path / "a", "x.tif", "y.tif")
    b = touch(tmp_path / "b", "x.tif", "v.tif")
    empty = touch(tmp_path / "empty", "readme.md")
    twice = touch(tmp_path / "twice", "x.tif", "x.png")
    (tmp_path / "short.txt").write_text("x.tif")
    (tmp_path / "long.txt").write_text("x.tif\ny.tif")
    maps = MapFiles(str(tmp_path / "maps"))
    for images, given, words in (
        ([a, "b.tif"], maps, "holds many images, and another one is a single file"),
        ([a, b], maps, r"hold other images: 2 without a partner \(v, y\)"),
        ([empty], maps, "'.*empty' holds no image"),
        ([twice], maps, "x.png' and '.*x.tif' would have one map, x.tif"),
        ([str(tmp_path / "none.txt")], maps, "none.txt' cannot be read"),
        ([str(tmp_path / n) for n in ("long.txt", "short.txt")], maps, "name 2 and 1 images"),
        ([a], MapFiles("m.tif"), r"must be a folder or FOLDER/\*.tif, not 'm.tif'"),
    ):
        with pytest.raises(UserError, match=words):
            scene_list(SceneFiles(images, given))
    assert not (tmp_path / "maps").exists()

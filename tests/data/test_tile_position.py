import numpy as np
import pytest

from noise2map_jax.data.tile_position import tile_position
from noise2map_jax.errors import UserError


def test_a_tile_lies_where_its_id_says():
    place = tile_position("test/area/of_r1_c2/r00256_c100000")
    assert (place["row"], place["column"]) == (256, 100_000)
    assert {key: value.dtype for key, value in place.items()} == {
        "scene": np.uint32,
        "row": np.int32,
        "column": np.int32,
    }


def test_tiles_of_a_scene_share_its_number_and_scenes_do_not():
    ids = ["val/a/r00000_c00000", "val/a/r00064_c00128", "val/b/r00000_c00000", "test/a/r00_c00"]
    scenes = [int(tile_position(name)["scene"]) for name in ids]
    assert scenes[0] == scenes[1]
    assert len(set(scenes)) == 3


@pytest.mark.parametrize("name", ["", "17", "val/a", "val/a/r1c2", "val/a/r-1_c2", "val/a/r1_c2/x"])
def test_an_id_of_another_kind_is_named(name):
    with pytest.raises(UserError, match=r"gives no position.*build the dataset again"):
        tile_position(name)

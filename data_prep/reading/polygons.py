"""Polygons as people draw them -> valid ones."""

import shapely

from data_prep.reading.readers import ReadError

# Real footprints have tens of corners. What has more is damage, whose repair may take minutes: time
# grows with the crossings, whose number may grow with the corners squared.
MAX_CORNERS_REPAIRED = 500


def repair(polygon: shapely.Geometry) -> shapely.MultiPolygon:
    """Make an invalid polygon valid.

    Args:
      polygon: A polygon or multipolygon that crosses itself.

    Returns:
      Its parts that have an area; there may be none.

    Raises:
      ReadError: It has too many corners.
    """
    corners = shapely.get_num_coordinates(polygon)
    if corners > MAX_CORNERS_REPAIRED:
        raise ReadError(
            f"has an invalid polygon of {corners} corners; up to {MAX_CORNERS_REPAIRED} are"
            " repaired"
        )
    # "structure" takes loops of the outline as area and holes out of it; the other method also
    # takes minutes for damage of two hundred corners.
    valid = shapely.make_valid(polygon, method="structure", keep_collapsed=False)
    return shapely.MultiPolygon([part for part in shapely.get_parts(valid) if part.area > 0])

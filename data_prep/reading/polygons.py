"""Repairs invalid polygons, as people draw them."""

import shapely

from data_prep.imagery.bands import ReadError

# Real footprints have tens of corners. A polygon with more is damaged, and its repair may take
# minutes: time grows with the crossings, and these may grow with the square of the corners.
MAX_CORNERS_REPAIRED = 500


def repair(polygon: shapely.Geometry) -> shapely.MultiPolygon:
    """Make an invalid polygon valid.

    Args:
      polygon: A polygon or multipolygon that crosses itself.

    Returns:
      The parts that have an area; there may be none.

    Raises:
      ReadError: The polygon has too many corners.
    """
    corners = shapely.get_num_coordinates(polygon)
    if corners > MAX_CORNERS_REPAIRED:
        raise ReadError(
            f"has an invalid polygon of {corners} corners; only polygons of up to"
            f" {MAX_CORNERS_REPAIRED} are repaired"
        )
    # "structure" counts loops of the outline as area and cuts holes out of it. The other method
    # takes minutes even for a damaged polygon of two hundred corners.
    valid = shapely.make_valid(polygon, method="structure", keep_collapsed=False)
    return shapely.MultiPolygon([part for part in shapely.get_parts(valid) if part.area > 0])

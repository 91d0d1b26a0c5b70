"""How large the panels of a preview are, and how they lie: pure."""

import dataclasses

_WIDTH, _HEIGHT = 1560, 1050  # pixels that all panels together fill about


@dataclasses.dataclass(frozen=True)
class PanelSize:
    """The size of a panel.

    Attributes:
        columns: panels side by side.
        cells: (rows, columns) that the scene is read at.
        zoom: pixels of the panel along a cell.
    """

    columns: int
    cells: tuple[int, int]
    zoom: int

    @property
    def pixels(self) -> tuple[int, int]:
        """(height, width) of the panel."""
        return self.cells[0] * self.zoom, self.cells[1] * self.zoom


def panel_size(height: int, width: int, number: int) -> PanelSize:
    """Choose the size for a scene: as large as fits, small scenes by whole pixels.

    Args:
        height: rows of the scene.
        width: columns of the scene.
        number: of panels.
    """
    fits = {
        columns: min(_WIDTH / columns / width, _HEIGHT * columns / number / height)
        for columns in range(1, number + 1)
        if number % columns == 0
    }
    columns = max(fits, key=lambda c: fits[c])
    zoom = int(fits[columns] + 1 / 3)  # 1: rather half as large again than shrunk by a little
    if zoom:
        return PanelSize(columns, (height, width), zoom)
    cells = max(round(height * fits[columns]), 1), max(round(width * fits[columns]), 1)
    return PanelSize(columns, cells, 1)

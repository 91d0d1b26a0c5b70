"""Records that say which they are."""

import numpy as np


class NumberedRecords:
    """A source whose record i is full of i."""

    def __init__(self, num):
        self.num = num

    def __len__(self):
        return self.num

    def __getitem__(self, i):
        if not 0 <= i < self.num:
            raise IndexError(i)
        return {"image": np.full((2, 2, 1), i, np.uint8), "id": f"val/scene/r00000_c{i:05d}"}


def numbers(batches):
    """Return the numbers of the records in each batch."""
    return [batch["image"][:, 0, 0, 0].tolist() for batch in batches]

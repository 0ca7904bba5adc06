"""Reads boards of square cells: how large a cell is, and what colour each has in its middle."""

from __future__ import annotations

import numpy as np

from jaxrl.vlm.captioner import pixels


class Board:
    """A square board in the middle of a picture, as large as fits.

    Attributes:
        size: cells a side.
        cell: pixels a cell.
        left, top: of the board, pixels from the picture's left and upper edge.
    """

    def __init__(self, frame: np.ndarray, size: int) -> None:
        """`size` cells a side, in a picture `[H, W, 3]`."""
        height, width = frame.shape[:2]
        side = min(height, width)
        self.size, self.cell = size, side / size
        self.left, self.top = (width - side) / 2, (height - side) / 2
        self.frame = frame

    def means(self, amount: np.ndarray, middle: float) -> np.ndarray:
        """The mean of a cover over the middle of every cell, `[size, size]`.

        Args:
            amount: `[H, W]`.
            middle: the share of a cell's side that is looked at.
        """
        rows, columns = amount.shape
        cells = range(self.size)
        down = np.stack([self._share(rows, self.top, cell, middle) for cell in cells])
        across = np.stack([self._share(columns, self.left, cell, middle) for cell in cells])
        return down @ amount @ across.T

    def from_middle_to_middle(
        self, amount: np.ndarray, one: tuple[int, int], two: tuple[int, int]
    ) -> float:
        """The mean of a cover from the middle of a cell to that of its neighbour.

        Each is `(row, column)`; across, half of the cells' width is looked at.
        """
        row, column = ((a + b) / 2 for a, b in zip(one, two, strict=True))
        tall, wide = (0.5 + 0.5 * abs(a - b) for a, b in zip(one, two, strict=True))
        down = self._share(amount.shape[0], self.top, row, tall)
        across = self._share(amount.shape[1], self.left, column, wide)
        return float(down @ amount @ across)

    def nearest(self, amount: np.ndarray) -> tuple[int, int]:
        """Row and column of the cell that the centre of a cover is in."""
        found = pixels.blob(amount)
        assert found is not None, "the caller looked whether there is anything"
        row = int((len(amount) - found.y - self.top) // self.cell)
        column = int((found.x - self.left) // self.cell)
        last = self.size - 1
        return min(max(row, 0), last), min(max(column, 0), last)

    def _share(self, count: int, start: float, cell: float, length: float) -> np.ndarray:
        """Weights of a mean over `length` cells about the middle of a cell, `[count]` pixels."""
        middle = start + (cell + 0.5) * self.cell
        edges = np.arange(count)
        low = np.maximum(middle - length * self.cell / 2, edges)
        shares = np.maximum(np.minimum(middle + length * self.cell / 2, edges + 1) - low, 0.0)
        return shares / shares.sum()

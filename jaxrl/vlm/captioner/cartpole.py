"""Sees a cart on a track and a pole on the cart, in Gymnasium's look.

Black track and cart on white, a brown pole, a blue axle. Of Gymnasium's geometry it knows that the
track is as wide as the picture, and how large the cart and how thick the pole are drawn; nothing of
how long the pole is, nor of metres.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxrl.vlm.captioner import pixels

POLE = np.array([202.0, 152.0, 101.0])
POLE_FULL, POLE_RATIO = POLE[0] - POLE[2], (POLE[0] - POLE[1]) / (POLE[0] - POLE[2])
AXLE_FULL = 203.0 - 129.0
UNIT = 1 / 600
"""Lengths below are in pixels of a picture 600 wide, half an outline included."""
CART_HALF_WIDTH, CART_HEIGHT = 25.5, 31.0
POLE_HALF_WIDTH, POLE_LENGTH, AXLE_UP = 5.5, 120.0, 107.5
LEAST_POLE, LEAST_PIXELS = 150.0, 4.0
"""Area of a pole from which on a tilt can be read where the picture's edge cuts it off."""

SHIFTS, DOUBT, SMALL = np.linspace(-0.8, 0.8, 9), 0.2, 0.4
"""In small pictures, by how many pixels the cart may be somewhere else, and what that costs."""


@dataclasses.dataclass(frozen=True)
class CartPoleFacts:
    """What a picture of a cart and a pole shows.

    Attributes:
        position: of the cart's middle, from -1 at the track's left end to 1 at its right end.
        tilt: of the pole from upright, degrees, positive to the right, in ±180; None where too
            little of the pole is in the picture.
    """

    position: float
    tilt: float | None


def see(frame: np.ndarray) -> CartPoleFacts | None:
    """Cart and pole of a picture, uint8 `[H, W, 3]`; None where there are none."""
    if np.median(pixels.coarse(frame)) < 200:
        return None
    red, green, blue = pixels.channels(frame)
    # Zero on white, black and every grey, whatever they are mixed in.
    brown = pixels.cover(red - blue, POLE_FULL)
    width = frame.shape[1]
    cart = _cart(np.maximum(np.maximum(red, green), blue))
    if cart is None:
        return None
    position = 2 * cart / width - 1
    if not _is_pole(red, green, blue, brown):
        # Beyond the track's end a pole may lie outside the picture, with half of the cart in it.
        return CartPoleFacts(position, None) if abs(position) > 0.9 and _empty(brown) else None
    axle = pixels.blob(pixels.cover(blue - red, AXLE_FULL))
    if brown[:, [0, -1]].max() > 0.05 or axle is None:
        return CartPoleFacts(position, _tilt_of_a_part(brown, cart))
    pole = pixels.blob(brown)
    assert pole is not None  # _is_pole found it
    angle = pole.angle
    if np.cos(angle) * (pole.x - axle.x) + np.sin(angle) * (pole.y - axle.y) < 0:
        angle += np.pi  # of the axis' two ends, the one away from the axle
    return CartPoleFacts(position, _from_upright(angle))


def _from_upright(angle: float) -> float:
    """Degrees to the right of upright, of an angle counter-clockwise from the right."""
    return float((90 - np.rad2deg(angle) + 180) % 360 - 180)


def _is_pole(red: np.ndarray, green: np.ndarray, blue: np.ndarray, brown: np.ndarray) -> bool:
    """Whether what is brown is of the pole's hue, and large enough to be looked at."""
    where = brown > 0.1
    if where.sum() < 3:
        return False
    ratio = (red - green)[where].sum() / (red - blue)[where].sum()
    return abs(ratio - POLE_RATIO) < 0.12


def _empty(brown: np.ndarray) -> bool:
    """Whether no more is brown than a sliver of a pole at the picture's edge."""
    return float(brown.sum()) < 3


def _cart(brightest: np.ndarray) -> float | None:
    """X of the cart's middle, from the dark columns that rise above the track's line."""
    dark = (1 - brightest / 255).sum(0)
    width = dark.size
    track = float(np.median(dark))
    body = dark - track
    tall = CART_HEIGHT * width * UNIT - track
    if tall <= 0 or (found := pixels.edges(np.clip(body / tall, 0.0, 1.0))) is None:
        return None
    left, right = found
    half = CART_HALF_WIDTH * width * UNIT
    if left <= 0:
        return right - half
    if right >= width:
        return left + half
    return (left + right) / 2 if 0.4 * half < (right - left) / 2 < 2.5 * half else None


def _tilt_of_a_part(brown: np.ndarray, cart: float) -> float | None:
    """The tilt of a pole that the picture's edge cuts off: the strip that fits what is left best.

    A strip from the axle, as wide as poles are drawn, is turned until its cover is that of the
    picture; its far end is left out, so that no length has to be known.
    """
    unit = brown.shape[1] * UNIT
    window = pixels.bounds(brown, 2)
    if window is None or brown.sum() < max(LEAST_POLE * unit**2, LEAST_PIXELS):
        return None
    across, up = pixels.centers(brown.shape)
    x, y = across[:, window[1]] - cart, up[window[0]] - AXLE_UP * unit
    seen = brown[window]
    # Away from the axle's disc, and short of the pole's end.
    length = np.hypot(x, y)
    counts = (length > 7 * unit) & (length < (POLE_LENGTH - 10) * unit) & (y > 0)

    def misfit(tilt: float, shift: float) -> float:
        across = (x - shift) * np.cos(tilt) - y * np.sin(tilt)
        strip = np.clip(0.5 + POLE_HALF_WIDTH * unit - np.abs(across), 0.0, 1.0)
        return float((counts * (strip - seen) ** 2).sum()) + DOUBT * shift**2

    best, step = (0.0, 0.0), np.deg2rad(2.0)
    around, shifts = np.arange(-30, 31), SHIFTS if unit < SMALL else np.zeros(1)
    while step > np.deg2rad(0.02):
        tried = [(best[0] + step * turn, shift) for turn in around for shift in shifts]
        best = tried[int(np.argmin([misfit(*one) for one in tried]))]
        around, shifts, step = np.arange(-5, 6), np.array([best[1]]), step / 5
    return float(np.rad2deg(best[0]))

"""Drawing: shapes cover the area they have, and scenes are one loop without gathers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_envs import draw
from jaxrl_envs.cartpole import CartPole

AT = draw.canvas(40, 60)


def area(distance):
    return float(draw.coverage(distance).sum())


def test_row_zero_is_the_top_and_y_points_up():
    cover = draw.coverage(draw.rectangle(AT, 0.0, 0.0, 60.0, 3.0))
    np.testing.assert_array_equal(cover[:, 7], [0] * 37 + [1] * 3)
    cover = draw.coverage(draw.rectangle(AT, 5.0, 0.0, 6.0, 40.0))
    np.testing.assert_array_equal(np.flatnonzero(cover[0]), [5])


def test_a_straddled_pixel_is_covered_by_its_share():
    cover = draw.coverage(draw.rectangle(AT, 10.25, 10.0, 20.0, 20.0))
    assert float(cover[25, 10]) == 0.75 and float(cover[25, 11]) == 1.0


@pytest.mark.parametrize("angle", [0.0, 0.3, 1.0, 2.5, -0.7])
def test_a_turned_polygon_keeps_its_area(angle):
    corners = draw.rotate(draw.box(-8, -4, 8, 4), angle) + jnp.array([30.3, 20.6])
    assert area(draw.polygon(AT, corners)) == pytest.approx(16 * 8, rel=0.01)


def test_a_triangle_covers_half_its_box():
    corners = jnp.array([(10.0, 10.0), (40.0, 10.0), (10.0, 30.0)])
    assert area(draw.polygon(AT, corners)) == pytest.approx(300, rel=0.01)


def test_disc_and_capsule_have_the_areas_of_geometry():
    assert area(draw.disc(AT, (30.2, 20.7), 9.0)) == pytest.approx(np.pi * 81, rel=0.01)
    line = draw.capsule(AT, (15.0, 12.0), (35.0, 27.0), 3.0)
    assert area(line) == pytest.approx(25 * 6 + np.pi * 9, rel=0.01)
    # Of no length it is a disc, and of no NaN.
    dot = draw.capsule(AT, (30.0, 20.0), (30.0, 20.0), 3.0)
    np.testing.assert_allclose(dot, draw.disc(AT, (30.0, 20.0), 3.0), atol=1e-5)


def test_grow_adds_to_every_side():
    shape = draw.rectangle(AT, 10.0, 10.0, 20.0, 15.0)
    assert area(draw.grow(shape, 1.0)) == pytest.approx(12 * 7)


@pytest.mark.parametrize("width", [0.25, 1.0, 2.0])
def test_an_outline_is_as_dark_as_its_width(width):
    cover = draw.outline(AT.y - 20.5, width)
    assert float(cover.sum()) == pytest.approx(width)


def test_paint_mixes_by_cover_and_alpha():
    image = draw.background(AT, (255, 255, 255))
    cover = jnp.zeros((40, 60)).at[3, 4].set(0.5)
    mixed = draw.paint(image, cover, (55, 155, 255))
    np.testing.assert_allclose(mixed[3, 4], [155, 205, 255])
    np.testing.assert_allclose(draw.paint(image, cover, (55, 155, 255), 0.5)[3, 4], [205, 230, 255])
    assert float(mixed.sum()) == float(image.sum()) - 150


def test_rotation_is_counter_clockwise():
    turned = draw.rotate(jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.pi / 2)
    np.testing.assert_allclose(turned, [[0, 1], [-2, 0]], atol=1e-6)


def test_to_uint8_rounds_and_clips():
    pixels = draw.to_uint8(jnp.array([-3.0, 0.4, 0.6, 254.6, 300.0]))
    assert pixels.dtype == jnp.uint8 and pixels.tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize(("height", "width"), [(8, 60), (60, 8), (20.5, 60), ("a", 60)])
def test_a_canvas_too_small_or_of_no_whole_pixels_is_refused(height, width):
    with pytest.raises(ValueError, match=f"height={height!r}, width={width}.*at least 16"):
        draw.canvas(height, width)


@pytest.mark.parametrize("center", [(30.2, 20.1), (1.0, 39.0), (57.0, -2.0), (-80.0, 90.0)])
def test_a_window_shows_its_part_of_a_scene_and_stays_in_the_picture(center):
    def scene(at):
        ground = draw.background(at, (9, 9, 9))
        return draw.paint(ground, draw.coverage(draw.disc(at, center, 5.0)), (200, 100, 50))

    window = draw.window_around(AT, center, (6.5, 6.0))
    assert (window.width, window.height) == (16, 14)
    assert 0 <= window.left <= 60 - 16 and 0 <= window.top <= 40 - 14
    picture = draw.redraw(jnp.full((40, 60, 3), 9, jnp.uint8), AT, window, scene)
    np.testing.assert_array_equal(picture, draw.to_uint8(scene(AT)))
    assert draw.window_around(AT, center, (99, 5))[1:] == (0, 12, 60)  # no larger than there is


def test_no_pixel_is_gathered():
    env = CartPole()
    _, state = env.reset_env(jax.random.key(0), env.default_params)
    program = jax.make_jaxpr(lambda s: env.render(s, env.default_params))(state)
    assert "gather" not in str(program) and "max" in str(program)


def test_an_arc_is_its_share_of_a_ring():
    quarter = draw.arc(AT, (30.2, 20.1), 12.0, 4.0, 0.3, 0.3 + np.pi / 2)
    assert area(quarter) == pytest.approx(np.pi * 24 * 4 / 4, rel=0.03)
    most = draw.arc(AT, (30.2, 20.1), 12.0, 4.0, 0.5, 0.5 + 1.5 * np.pi)
    assert area(most) == pytest.approx(np.pi * 24 * 4 * 0.75, rel=0.03)
    # It begins at the right for an angle of zero, and goes up from there.
    cover = draw.coverage(draw.arc(AT, (30.0, 20.0), 12.0, 4.0, 0.0, 1.0))
    assert float(cover[16, 41]) == 1 and float(cover[24, 41]) == 0


def test_cells_fill_the_largest_board_that_fits():
    place = draw.board(40, 60, 4, 2)
    assert place == (20.0, 40.0, 10.0, 4, 2)
    assert draw.board(60, 40, 1, 2) == (0.0, 40.0, 20.0, 1, 2)
    colors = jnp.arange(8.0).reshape(4, 2, 1) * jnp.ones(3) + 10
    image = draw.paint_cells(draw.background(AT, (1, 1, 1)), AT, place, colors)
    np.testing.assert_allclose(image[:, 5], 1)
    for row, column in ((0, 0), (3, 1), (2, 0)):
        np.testing.assert_allclose(image[row * 10 + 3, 20 + column * 10 + 3], colors[row, column])


def test_a_pixel_between_cells_is_mixed_of_them():
    at = draw.canvas(16, 16)
    colors = 100.0 * jnp.eye(3)[..., None] * jnp.ones(3)
    place = draw.board(16, 16, 3, 3)
    image = draw.paint_cells(draw.background(at, (0, 0, 0)), at, place, colors)
    np.testing.assert_allclose(image[2, 5], 100 / 3, rtol=1e-4)  # a third of it is the first cell
    np.testing.assert_allclose(float(image.sum()), 3 * 100 * 3 * (16 / 3) ** 2, rtol=1e-4)


def test_gaps_between_cells_have_their_share():
    at, place = draw.canvas(40, 40), draw.board(40, 40, 2, 2)
    colors = jnp.zeros((5, 5, 3)).at[1::2, 1::2].set(1.0)
    image = draw.paint_cells(draw.background(at, (0, 0, 0)), at, place, colors, gap=0.2)
    assert float(image[..., 0].sum()) == pytest.approx(4 * (0.8 * 20) ** 2, rel=1e-4)
    assert float(image[1, 1, 0]) == 0 and float(image[2, 2, 0]) == 1

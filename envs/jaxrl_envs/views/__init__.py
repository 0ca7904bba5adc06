"""Pictures and named quantities for environments that others wrote, gymnax's above all.

gymnax has neither. What an environment is, is read off its structure: the fields of its state and
of its parameters, or observations that are a board of planes. So nothing of gymnax is imported, a
wrapped or renamed environment is recognised as well, and a new view is one row of `VIEWS`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax

from jaxrl_envs.cartpole import CartPole
from jaxrl_envs.views import acrobot, boards, mountain_car, pendulum

Fits = Callable[[Any, Any, Any], bool]
"""`(obs, state, params) -> bool`, of abstract values."""


class View(NamedTuple):
    """How environments of one structure are drawn and described.

    Attributes:
        fits: whether an environment has the structure.
        render: `(env, state, params, *, height, width) -> uint8 [height, width, 3]`.
        describe: `(state, params) -> dict[str, Array]`, or None.
        quantities: name to `(unit, meaning)` of what `describe` gives.
    """

    fits: Fits
    render: Callable[..., jax.Array]
    describe: Callable[[Any, Any], dict[str, jax.Array]] | None = None
    quantities: dict[str, tuple[str, str]] = {}  # noqa: RUF012  # a NamedTuple's default


def fields(state: Iterable[str], params: Iterable[str] = ()) -> Fits:
    """A structure by the fields that state and parameters have, among others."""

    def fits(obs: Any, given_state: Any, given_params: Any) -> bool:
        return all(hasattr(given_state, name) for name in state) and all(
            hasattr(given_params, name) for name in params
        )

    return fits


def _cartpole(env: Any, *args: Any, **kwargs: Any) -> jax.Array:
    return CartPole().render(*args, **kwargs)


VIEWS: dict[str, View] = {
    "cart and pole": View(
        fields(("x", "x_dot", "theta", "theta_dot"), ("x_threshold", "length")),
        _cartpole,
        CartPole().describe,
        CartPole.quantities,
    ),
    "acrobot": View(
        fields(("joint_angle1", "joint_angle2"), ("link_length_1", "link_length_2")),
        acrobot.render,
        acrobot.describe,
        acrobot.QUANTITIES,
    ),
    "pendulum": View(
        fields(("theta", "theta_dot", "last_u"), ("max_torque",)),
        pendulum.render,
        pendulum.describe,
        pendulum.QUANTITIES,
    ),
    "mountain car": View(
        fields(("position", "velocity"), ("min_position", "goal_position")),
        mountain_car.render,
        mountain_car.describe,
        mountain_car.QUANTITIES,
    ),
    "breakout": View(
        fields(("ball_x", "ball_y", "ball_dir", "brick_map", "pos")),
        boards.render,
        boards.describe_breakout,
        boards.BREAKOUT_QUANTITIES,
    ),
    "board": View(boards.is_board, boards.render),
}
"""Looked through in this order; the first that fits is taken."""


def view_of(env: Any, params: Any) -> View | None:
    """The view that fits an environment's structure, or None."""
    obs, state = jax.eval_shape(env.reset_env, jax.random.key(0), params)
    return next((view for view in VIEWS.values() if view.fits(obs, state, params)), None)


def supply(env: Any, params: Any) -> None:
    """Gives an environment `render`, `describe` and `quantities` where it has none of its own.

    An environment of no known structure is left as it is.
    """
    view = view_of(env, params)
    if view is None:
        return
    if not hasattr(env, "render"):
        env.render = functools.partial(view.render, env)
    if view.describe is not None and not hasattr(env, "describe"):
        env.describe, env.quantities = view.describe, view.quantities

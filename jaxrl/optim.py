"""The optimisers of the gradient-based estimators, with their step size kept outside.

optax transforms make the direction; the step size is a schedule over updates that the algorithm
evaluates itself, so that it reaches its end at the run's last update whatever the number of
gradient steps between.
"""

from __future__ import annotations

from typing import Literal, get_args

import jax
import optax

from jaxrl.errors import unknown_name
from jaxrl.types import Array, PyTree

Rule = Literal["adam", "rmsprop", "sgd"]
"""How a gradient becomes a direction."""


def by_rule(
    rule: Rule, max_grad_norm: Array | float | None, eps: Array | float
) -> optax.GradientTransformation:
    """The direction of that name, on gradients clipped by their *global* norm.

    Args:
        rule: `adam`; `rmsprop` with A3C's decay of 0.99 (arXiv:1602.01783) and ε inside the root,
            as TensorFlow has it; `sgd`, the gradient itself.
        max_grad_norm: largest global norm; None does not clip.
        eps: ε of the first two.

    Raises:
        UnknownNameError: another name.
    """
    if rule not in get_args(Rule):
        raise unknown_name("optimizer", rule, get_args(Rule))
    if rule == "adam":
        return adam(max_grad_norm, eps)
    direction = optax.identity() if rule == "sgd" else optax.scale_by_rms(decay=0.99, eps=eps)
    if max_grad_norm is None:
        return direction
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), direction)


def adam(max_grad_norm: Array | float | None, eps: Array | float) -> optax.GradientTransformation:
    """Adam's direction (arXiv:1412.6980), on gradients clipped by their *global* norm.

    Args:
        max_grad_norm: largest global norm; None does not clip.
        eps: Adam's ε.
    """
    direction = optax.scale_by_adam(eps=eps)
    if max_grad_norm is None:
        return direction
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), direction)


def descend(
    optimizer: optax.GradientTransformation,
    grads: PyTree,
    opt_state: PyTree,
    params: PyTree,
    learning_rate: Array | float,
) -> tuple[PyTree, PyTree]:
    """One step against the gradient: `(params, opt_state)`."""
    updates, opt_state = optimizer.update(grads, opt_state, params)
    return jax.tree.map(lambda p, u: p - learning_rate * u, params, updates), opt_state


def polyak(target: PyTree, params: PyTree, tau: Array | float) -> PyTree:
    """A target network a share `tau` of the way nearer to the parameters; all the way with 1.

    `θ' ← (1 - τ) θ' + τ θ`, Lillicrap et al. 2016, arXiv:1509.02971.
    """
    return jax.tree.map(lambda old, new: old + tau * (new - old), target, params)

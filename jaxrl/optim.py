"""The optimiser every gradient-based estimator here uses, with its step size kept outside.

optax transforms make the direction; the step size is a schedule over updates that the algorithm
evaluates itself, so that it reaches its end at the run's last update whatever the number of
gradient steps between.
"""

from __future__ import annotations

import jax
import optax

from jaxrl.types import Array, PyTree


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

"""What is to be had in CartPoleSwing-v0, threshold by threshold: the best of linear controllers.

A controller pushes right where `k · (x - c·side·threshold, ẋ, θ, θ̇) > 0`, `side` being where the
next touch is due. Its five numbers are found by the cross-entropy method on the true dynamics, so
that its fitness is a floor under what a policy can reach, and no ceiling: faster policies exist.

    python benchmarks/swing_limits.py                  0.5, 0.3, 0.2, 0.1 and 0.05 m
    python benchmarks/swing_limits.py 0.15 --rounds 40
"""

from __future__ import annotations

import argparse

import jax
import jax.numpy as jnp
import numpy as np

import jaxrl
from jaxrl_envs.cartpole_swing import CartPoleSwingState

THRESHOLDS = (0.5, 0.3, 0.2, 0.1, 0.05)
EPISODES = 16
CONTROLLERS, KEPT = 96, 16
START = np.array([0.5, 1.0, 10.0, 2.0, 1.0])
SPREAD = np.array([1.0, 1.0, 5.0, 1.5, 1.0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("thresholds", nargs="*", type=float, default=THRESHOLDS)
    parser.add_argument("--rounds", type=int, default=25)
    args = parser.parse_args()
    for threshold in args.thresholds:
        fitness, controller = best_controller(threshold, args.rounds)
        print(f"{threshold:g} m: {fitness:,.0f} by {np.round(controller, 2).tolist()}", flush=True)


def best_controller(threshold: float, rounds: int) -> tuple[float, np.ndarray]:
    """The controller `[5]` that the search ends with, and its fitness on start states new to it."""
    env, params = jaxrl.make("CartPoleSwing-v0", swing_threshold=threshold)

    def fitness(controller: jax.Array, key: jax.Array) -> jax.Array:
        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            state, alive, total = carry
            action = push(controller, state).astype(jnp.int32)
            _, state, reward, fell, _ = jax.vmap(env.step_env, (None, 0, 0, None))(
                key, state, action, params
            )
            return (state, alive & ~fell, total + reward * alive), None

        start = env.reset_batch(key, params, EPISODES)[1]
        carry = (start, jnp.ones(EPISODES, bool), jnp.zeros(EPISODES))
        (_, _, total), _ = jax.lax.scan(step, carry, None, params.max_steps_in_episode)
        return total.mean()

    measure = jax.jit(jax.vmap(fitness, (0, None)))
    random = np.random.default_rng(0)
    mean, spread = START, SPREAD
    for number in range(rounds):
        tried = mean + spread * random.normal(size=(CONTROLLERS, 5))
        scores = np.asarray(measure(jnp.asarray(tried, jnp.float32), jax.random.key(number)))
        elite = tried[np.argsort(-scores)[:KEPT]]
        mean, spread = elite.mean(0), elite.std(0) + 1e-2
    again = measure(jnp.asarray(mean, jnp.float32)[None], jax.random.key(rounds))
    return float(again[0]), mean


def push(controller: jax.Array, state: CartPoleSwingState) -> jax.Array:
    """Whether to push right, `[E]`; the middle's right is the first side."""
    side = jnp.where(state.last_touched == 1, -1.0, 1.0)
    target = controller[4] * side * state.swing_threshold
    seen = jnp.stack([state.x - target, state.x_dot, state.theta, state.theta_dot], axis=-1)
    # All four weights are positive: a cart too far to the right is pushed further, so that the pole
    # tips to the left, and the cart that runs after it comes back.
    return seen @ controller[:4] > 0


if __name__ == "__main__":
    main()

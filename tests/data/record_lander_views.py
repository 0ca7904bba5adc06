"""Records what a picture of LunarLander depends on, for states of random and of heuristic play.

    python tests/data/record_lander_views.py

writes `lander_views.npz`, from which the captioner's tests draw their frames without playing.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_envs.lunar_lander import LunarLander

EPISODES, STEPS, KEPT = 24, 400, 200


def heuristic(obs):
    """Gymnasium's hand-written lander, its discrete action of one observation `[8]`."""
    target_angle = jnp.clip(0.5 * obs[0] + obs[2], -0.4, 0.4)
    turn = 0.5 * (target_angle - obs[4]) - obs[5]
    lift = 0.5 * (0.55 * jnp.abs(obs[0]) - obs[1]) - 0.5 * obs[3]
    touches = obs[6] + obs[7] > 0
    turn, lift = jnp.where(touches, 0.0, turn), jnp.where(touches, -0.5 * obs[3], lift)
    side = jnp.where(turn < -0.05, 3, jnp.where(turn > 0.05, 1, 0))
    return jnp.where((lift > jnp.abs(turn)) & (lift > 0.05), 2, side)


def play(policy, key):
    """States `[STEPS, EPISODES, ...]` of episodes, and whether each is over before its step."""
    env, params = LunarLander(solver="fast"), LunarLander().default_params
    key_start, key_play = jax.random.split(key)
    obs, state = env.reset_batch(key_start, params, EPISODES)

    def body(carry, key):
        obs, state, over = carry
        keys = jax.random.split(key, EPISODES)
        action = jax.vmap(policy)(keys, obs)
        step = jax.vmap(env.step_env, (0, 0, 0, None))
        obs, state, _, ended, _ = step(keys, state, action, params)
        return (obs, state, over | ended), (state, over)

    start = obs, state, jnp.zeros(EPISODES, bool)
    return jax.lax.scan(body, start, jax.random.split(key_play, STEPS))[1]


def main():
    """Writes the file."""
    rng, kept = np.random.default_rng(0), []
    for number, policy in enumerate(
        (lambda key, obs: jax.random.randint(key, (), 0, 4), lambda key, obs: heuristic(obs))
    ):
        states, over = jax.jit(play, static_argnums=0)(policy, jax.random.key(number))
        rows = rng.permutation(np.flatnonzero(~np.asarray(over).ravel()))[:KEPT]
        kept.append(
            {
                "x": states.world.poses.center.x,
                "y": states.world.poses.center.y,
                "angle": states.world.poses.angle,
                "terrain": states.terrain,
                "main": states.power.main,
                "side": states.power.side,
                "direction": states.power.direction,
                "contact": states.world.ground_contact,
                "hull_contact": states.world.hull_contact,
            }
        )
        flat = {k: np.asarray(v) for k, v in kept[-1].items()}
        kept[-1] = {k: v.reshape(-1, *v.shape[2:])[rows] for k, v in flat.items()}
    together = {name: np.concatenate([part[name] for part in kept]) for name in kept[0]}
    np.savez_compressed(Path(__file__).parent / "lander_views.npz", **together)


if __name__ == "__main__":
    main()

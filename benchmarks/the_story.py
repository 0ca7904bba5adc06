"""The notes' story in one figure: what each algorithm gains over the one before.

    python benchmarks/the_story.py            trains everything, measures, draws (ten minutes)
    python benchmarks/the_story.py --redraw   draws again what was measured

Left: return against steps of REINFORCE, a baseline, an actor-critic, TRPO, PPO and GRPO, ten seeds
each, with the settings of their presets. Right: how noisy the gradient of each is, on one batch of
episodes of one half-trained policy, so that nothing differs but the estimator.

The noise is `tr Cov(g) / |E g|²` of the gradient `g = Σ_t A_t ∇log π(a_t|s_t)` of one episode: so
many episodes must be averaged until noise and signal are equal. It does not depend on the scale of
rewards. A TD error's mean is biased by its critic; its noise is that about its own mean.

Lines go to `benchmarks/results/the_story.jsonl`, the figure to `benchmarks/results/the_story.png`.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from report import story_lines, write_report
from throughput import commit

import jaxrl
from jaxrl import episodic, returns
from jaxrl.algorithms import algorithm_entry
from jaxrl.algorithms.grpo import GRPOConfig, grpo
from jaxrl.algorithms.reinforce import ReinforceConfig, credits
from jaxrl.group import group_advantages
from jaxrl.presets import PRESETS
from jaxrl.run.machine import machine
from jaxrl.stats import iqm, stratified_bootstrap_ci

RESULTS = Path(__file__).parent / "results"
LINES = RESULTS / "the_story.jsonl"
SEEDS = 10
STEPS = {"CartPole-v1": 150_000, "Acrobot-v1": 200_000}
HALF_TRAINED = {"CartPole-v1": 20_000, "Acrobot-v1": 40_000}
GROUPS, GENERATIONS = 64, 8
GAMMA, LAMBDA = 0.99, 0.95

PLAIN = dict(baseline="none", normalize_advantage=False)
"""Shifting advantages to mean zero is a baseline, too."""


def stages(env: str) -> dict[str, tuple[str, Any]]:
    """The chapters in order: label to algorithm and config."""

    def config(algorithm: str, fallback: Any = None) -> Any:
        known = PRESETS.get((algorithm, env))
        return known.config if known else fallback

    seen = env != "CartPole-v1"
    episodes = ReinforceConfig(learning_rate_final=0.0, normalize_obs=seen)
    reinforce = config("reinforce", episodes)
    return {
        "REINFORCE": ("reinforce", reinforce.replace(**PLAIN)),
        "+ baseline": ("reinforce", reinforce),
        "actor-critic": ("a2c", config("a2c")),
        "TRPO": ("trpo", config("trpo")),
        "PPO": ("ppo", config("ppo")),
        "GRPO": ("grpo", config("grpo", GRPOConfig(learning_rate_final=0.0, normalize_obs=seen))),
    }


def curve(env_name: str, label: str, algorithm: str, config: Any) -> dict[str, Any]:
    """Trains one chapter: steps `[P]` and evaluation returns `[P, S]`."""
    env, params = jaxrl.make(env_name)
    built = algorithm_entry(algorithm).build(env, config)
    result = jaxrl.train(
        built,
        params,
        total_steps=STEPS[env_name],
        seeds=SEEDS,
        eval_episodes=32,
        checkpoint_every=0,
    )
    points = [p for p in result.history if np.isfinite(p.metrics["eval/return"]).all()]
    return {
        "kind": "curve",
        "env": env_name,
        "label": label,
        "steps": [p.step for p in points],
        "values": [np.asarray(p.metrics["eval/return"]).tolist() for p in points],
        "train_seconds": result.train_seconds,
    }


def noise(env_name: str) -> list[dict[str, Any]]:
    """The noise of every estimator on the same episodes of the same policy."""
    env, params = jaxrl.make(env_name)
    half = jaxrl.train(
        jaxrl.ppo(env, PRESETS["ppo", env_name].config.replace(normalize_obs=False)),
        params,
        total_steps=HALF_TRAINED[env_name],
        eval_every=0,
        checkpoint_every=0,
    )
    learned = jax.tree.map(lambda x: x[0], half.state)
    config = GRPOConfig(num_groups=GROUPS, num_generations=GENERATIONS)
    algorithm = grpo(env, config)
    parts = algorithm.init.args[0]
    state = algorithm.init(jax.random.key(1), params, 1)
    state = state.replace(params={"actor": learned.params["actor"]})
    trajectory = jax.jit(lambda s: episodic.collect(parts, s))(state)[1]

    def value(obs: jax.Array) -> jax.Array:
        return parts.network.value(learned.params, obs)

    gradients = jax.jit(lambda advantage: episode_gradients(parts, state, trajectory, advantage))
    rows = []
    for estimator, advantage in advantages(trajectory, value).items():
        each = np.asarray(gradients(advantage), np.float64)
        mean = each.mean(0)
        spread = ((each - mean) ** 2).sum() / (len(each) - 1)
        # |mean|² of a finite batch contains a share of the noise, which is taken out.
        signal = (mean**2).sum() - spread / len(each)
        rows.append(
            {
                "kind": "noise",
                "env": env_name,
                "label": estimator,
                "policy_return": float(trajectory.reward.sum(0).mean()),
                "episodes": len(each),
                "variance": float(spread),
                "noise_to_signal": float(spread / signal) if signal > 0 else None,
            }
        )
    return rows


def advantages(trajectory: Any, value: Any) -> dict[str, jax.Array]:
    """What each estimator weighs `∇log π` with, `[T, N]`."""
    plain = ReinforceConfig(gamma=GAMMA)
    reward = jnp.where(trajectory.valid, trajectory.reward, 0.0)
    to_go = credits(trajectory, plain)
    values = value(trajectory.obs)
    next_values = jnp.where(trajectory.valid, value(trajectory.next_obs), 0.0)
    ends = (trajectory.terminated, trajectory.truncated)

    def gae(gae_lambda: float) -> jax.Array:
        settings = dict(gamma=GAMMA, gae_lambda=gae_lambda)
        return returns.gae(reward, values, next_values, *ends, **settings)

    in_groups = reward.sum(0).reshape(GROUPS, GENERATIONS)
    grouped = group_advantages(in_groups, baseline="leave_one_out", scale_rewards="none")
    mean = episodic.sample_baseline(to_go, trajectory.valid, each_time=True, leave_one_out=True)
    return {
        "whole return": credits(trajectory, plain.replace(reward_to_go=False)),
        "REINFORCE\n(reward-to-go)": to_go,
        "+ baseline\n(mean for each t)": to_go - mean,
        "actor-critic\n(TD error)": gae(0.0),
        f"TRPO, PPO\n(GAE, λ = {LAMBDA:g})": gae(LAMBDA),
        "GRPO\n(its group's others)": jnp.broadcast_to(grouped.reshape(-1), reward.shape),
    }


def episode_gradients(parts: Any, state: Any, trajectory: Any, advantage: jax.Array) -> jax.Array:
    """`Σ_t A_t ∇log π(a_t|s_t)` of each episode, `[N, P]`."""

    def objective(params: Any, obs: Any, action: Any, advantage: Any, valid: Any) -> jax.Array:
        log_prob = parts.network.policy(params, obs).log_prob(action)
        return jnp.where(valid, advantage * log_prob, 0.0).sum()

    def gradient(*episode: Any) -> jax.Array:
        leaves = jax.tree.leaves(jax.grad(objective)(state.params, *episode))
        return jnp.concatenate([leaf.ravel() for leaf in leaves])

    columns = (trajectory.obs, trajectory.extras.raw_action, advantage, trajectory.valid)
    swapped = jax.tree.map(lambda x: jnp.moveaxis(x, 1, 0), columns)
    return jax.lax.map(lambda episode: gradient(*episode), swapped, batch_size=32)


def draw(rows: list[dict[str, Any]]) -> None:
    """One row of two panels for each environment."""
    figure = Figure(figsize=(13, 4.2 * len(STEPS)), layout="constrained")
    panels = figure.subplots(len(STEPS), 2, width_ratios=[3, 2], squeeze=False)
    for (left, right), env in zip(panels, STEPS, strict=True):
        of_env = [row for row in rows if row["env"] == env]
        for i, row in enumerate(row for row in of_env if row["kind"] == "curve"):
            rng = np.random.default_rng(0)
            values = np.array(row["values"])
            band = [stratified_bootstrap_ci(point, rng=rng, reps=500) for point in values]
            low, high = np.transpose(band)
            left.fill_between(row["steps"], low, high, color=f"C{i}", alpha=0.2, linewidth=0)
            left.plot(row["steps"], [iqm(v) for v in values], color=f"C{i}", label=row["label"])
        left.set(
            title=env, xlabel="environment steps per seed", ylabel="evaluation return (greedy)"
        )
        left.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}k")
        left.legend(
            frameon=False,
            title=f"IQM of {SEEDS} seeds, 95 % interval",
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
        )
        noises = [row for row in of_env if row["kind"] == "noise"]
        # An estimator whose signal drowns on this batch has no bar, and says so.
        heights = [row["noise_to_signal"] or 0 for row in noises]
        right.barh([row["label"] for row in noises], heights, color="C7")
        least = min(height for height in heights if height)
        for place, height in enumerate(heights):
            text = f" {height:,.1f}" if height else " no signal seen"
            right.text(height or least / 2, place, text, va="center")
        right.invert_yaxis()
        right.set(
            xscale="log",
            title=f"noise of the gradient\n(policy of return {noises[0]['policy_return']:.0f})",
            xlabel="episodes until noise = signal",
        )
        right.set_xlim(least / 2, max(heights) * 8)
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        left.grid(alpha=0.3)
    figure.savefig(RESULTS / "the_story.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--redraw", action="store_true", help="draw what was measured before")
    if not parser.parse_args().redraw:
        about = {"date": str(date.today()), "commit": commit(), "machine": machine()}
        rows = [row for env in STEPS for row in noise(env)]
        for env in STEPS:
            for label, (algorithm, config) in stages(env).items():
                rows.append(curve(env, label, algorithm, config))
                print(f"{env} {label}: {np.mean(rows[-1]['values'][-1]):.1f}", flush=True)
        LINES.write_text("".join(json.dumps(row | about) + "\n" for row in rows))
    draw(story_lines())
    write_report()


if __name__ == "__main__":
    main()

"""Writes `trpo.npz`: what sb3-contrib's TRPO makes of a few stored batches.

Run where sb3-contrib is installed (it brings torch), from anywhere:

    python tests/golden/make_trpo.py

Each case is one call of its `TRPO.train` on the policy alone, in double precision, with the
gradient, the direction of conjugate gradients and the parameters before and after it kept. Two
things there are not as in the paper, and the cases are chosen so that they make no difference: the
line search bounds KL(new‖old), and for Gaussians takes the mean over the action's dimensions, not
their sum, so that there is only one. Conjugate gradients start from noise, and get enough steps to
forget it.
"""

from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import torch
from sb3_contrib.trpo import TRPO
from sb3_contrib.trpo import trpo as module
from stable_baselines3.common.logger import configure
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import RolloutBufferSamples

ROWS, INPUTS, HIDDEN, ACTIONS = 64, 3, 5, 2
CASES = {
    # name: continuous, target_kl, cg_damping
    "categorical": (False, 0.01, 0.1),
    "categorical_far": (False, 0.1, 1e-3),
    "gaussian": (True, 0.01, 0.1),
    "gaussian_far": (True, 0.2, 1e-3),
}


class DoubleExtractor(FlattenExtractor):
    """Observations as doubles, as the rest is."""

    def forward(self, observations):
        return super().forward(observations).double()


class Env(gymnasium.Env):
    """Nothing but its spaces."""

    def __init__(self, continuous):
        self.observation_space = gymnasium.spaces.Box(-9, 9, (INPUTS,))
        box = gymnasium.spaces.Box(-1, 1, (1,))
        self.action_space = box if continuous else gymnasium.spaces.Discrete(ACTIONS)


def run(continuous, target_kl, cg_damping):
    """One policy update, and what it was made of."""
    model = TRPO(
        "MlpPolicy",
        Env(continuous),
        n_steps=ROWS,
        target_kl=target_kl,
        cg_damping=cg_damping,
        cg_max_steps=60,
        n_critic_updates=0,
        normalize_advantage=False,
        policy_kwargs=dict(net_arch=[HIDDEN], features_extractor_class=DoubleExtractor),
        seed=0,
    )
    model.set_logger(configure(None, []))
    policy = model.policy.double()
    with torch.no_grad():  # away from the start, where the policy's last layer is nearly nothing
        for parameter in policy.parameters():
            parameter += 0.3 * torch.randn_like(parameter)

    obs = torch.randn(ROWS, INPUTS, dtype=torch.float32)
    with torch.no_grad():
        distribution = policy.get_distribution(obs)
        actions = distribution.sample()
        log_prob = distribution.log_prob(actions)
    # Large, so that the solver's absolute tolerance is a small one.
    advantages = 30 * torch.randn(ROWS, dtype=torch.float64)
    samples = RolloutBufferSamples(obs, actions, None, log_prob, advantages, None)
    model.rollout_buffer = SimpleNamespace(
        get=lambda batch_size: iter([samples]), values=np.zeros(ROWS), returns=np.zeros(ROWS)
    )

    kept = {}
    solve = module.conjugate_gradient_solver

    def keep(product, gradient, max_iter):
        direction = solve(product, gradient, max_iter=max_iter)
        kept.update(gradient=gradient, direction=direction, product=product(direction))
        return direction

    def actor():
        named = policy.named_parameters()
        return torch.cat([p.detach().flatten().clone() for n, p in named if "value" not in n])

    before = actor()
    module.conjugate_gradient_solver = keep
    model.train()
    module.conjugate_gradient_solver = solve
    return dict(
        obs=obs,
        action=actions,
        advantage=advantages,
        before=before,
        after=actor(),
        target_kl=torch.tensor(target_kl, dtype=torch.float64),
        cg_damping=torch.tensor(cg_damping, dtype=torch.float64),
        **kept,
    )


def main():
    arrays = {
        f"{name}/{key}": value.detach().numpy()
        for name, case in CASES.items()
        for key, value in run(*case).items()
    }
    versions = [f"{package} {version(package)}" for package in ("sb3-contrib", "torch")]
    np.savez_compressed(Path(__file__).parent / "trpo.npz", versions=versions, **arrays)
    for name in CASES:
        step = arrays[f"{name}/after"] - arrays[f"{name}/before"]
        direction = arrays[f"{name}/direction"]
        longest = np.sqrt(2 * arrays[f"{name}/target_kl"] / (direction @ arrays[f"{name}/product"]))
        fraction = step @ direction / (direction @ direction) / longest
        print(f"{name}: {fraction:.4f} of the longest step, {len(step)} parameters")


if __name__ == "__main__":
    main()

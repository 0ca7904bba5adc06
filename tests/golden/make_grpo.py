"""Writes `grpo.npz`: TRL's GRPO loss, its gradient, and its advantages, on inputs drawn here.

    pip install torch trl numpy
    python tests/golden/make_grpo.py

`GRPOTrainer._compute_loss` is called on a stand-in for the trainer, which has the settings that it
reads and hands out log-probabilities instead of running a model. TRL's `luspo` is our `sum`; its
`use_bias_correction_kl` our `k3_is`. Defaults of TRL change: every setting is given.
"""

import itertools
import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
import transformers
import trl
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import nanstd

ROWS, LENGTH = 6, 5
EPSILON = 0.2
CASES = [
    dict(loss_type=loss_type, level=level, epsilon_high=high, delta=delta, beta=beta, kl=kl)
    for loss_type, level, high, delta, (beta, kl) in itertools.product(
        ["grpo", "bnpo", "dr_grpo", "dapo", "sum"],
        ["token", "sequence"],
        [0.2, 0.28],
        [None, 1.5],
        [(0.0, "k3"), (0.3, "k3"), (0.3, "k3_is")],
    )
]


def draw() -> dict[str, np.ndarray]:
    """Log-probabilities far enough apart that every kind of clip has something to do."""
    rng = np.random.default_rng(1)
    log_prob = -rng.exponential(1.0, (ROWS, LENGTH))
    lengths = np.array([5, 1, 3, 4, 2, 5])
    return dict(
        log_prob=log_prob,
        old_log_prob=log_prob + rng.normal(0, 0.7, log_prob.shape),
        ref_log_prob=log_prob + rng.normal(0, 0.5, log_prob.shape),
        advantage=rng.normal(0, 1, ROWS),
        mask=np.arange(LENGTH) < lengths[:, None],
        rewards=rng.normal(0, 2, (3, 4)),
    )


def stand_in(case: dict, log_prob: torch.Tensor) -> SimpleNamespace:
    """What `_compute_loss` reads of a trainer."""
    return SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *_, **__: (
            log_prob,
            torch.zeros_like(log_prob),
            None,
        ),
        accelerator=SimpleNamespace(
            num_processes=1,
            sync_gradients=True,
            gather=lambda x: x,
            reduce=lambda x, reduction: x,
        ),
        args=SimpleNamespace(
            delta=case["delta"],
            use_bias_correction_kl=case["kl"] == "k3_is",
            steps_per_generation=1,
        ),
        model=SimpleNamespace(training=True),
        loss_type={"sum": "luspo"}.get(case["loss_type"], case["loss_type"]),
        importance_sampling_level=case["level"],
        epsilon_low=EPSILON,
        epsilon_high=case["epsilon_high"],
        beta=case["beta"],
        max_completion_length=LENGTH,
        current_gradient_accumulation_steps=1,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        vllm_importance_sampling_correction=False,
        aux_loss_enabled=False,
        _entropy_bonus_enabled=False,
        _metrics={"train": defaultdict(list)},
    )


def loss_of(case: dict, data: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """TRL's loss and its gradient by the log-probabilities."""
    log_prob = torch.tensor(data["log_prob"], requires_grad=True)
    tokens = torch.zeros(ROWS, LENGTH, dtype=torch.long)
    mask = torch.tensor(data["mask"]).double()
    inputs = dict(
        prompt_ids=tokens[:, :0],
        prompt_mask=tokens[:, :0],
        completion_ids=tokens,
        completion_mask=mask,
        advantages=torch.tensor(data["advantage"]),
        old_per_token_logps=torch.tensor(data["old_log_prob"]),
        ref_per_token_logps=torch.tensor(data["ref_log_prob"]),
        num_items_in_batch=mask.sum(),
    )
    loss = GRPOTrainer._compute_loss(stand_in(case, log_prob), None, inputs)
    loss.backward()
    return loss.item(), log_prob.grad.numpy()


def advantages_of(rewards: np.ndarray, scale: str) -> np.ndarray:
    """The lines of `_generate_and_score_completions` that cannot be called alone, with its std."""
    values = torch.tensor(rewards)
    centred = values - values.mean(dim=1, keepdim=True)
    if scale == "group":
        centred = centred / (nanstd(values, dim=1, keepdim=True) + 1e-4)
    if scale == "batch":
        centred = centred / (nanstd(values) + 1e-4)
    return centred.numpy()


def main() -> None:
    data = draw()
    results = [loss_of(case, data) for case in CASES]
    about = dict(
        epsilon=EPSILON,
        cases=CASES,
        versions={m.__name__: m.__version__ for m in (trl, torch, transformers, np)},
    )
    path = Path(__file__).with_name("grpo.npz")
    np.savez_compressed(
        path,
        about=np.array(json.dumps(about)),
        loss=np.array([loss for loss, _ in results]),
        grad=np.array([grad for _, grad in results]),
        **{
            f"advantages_{s}": advantages_of(data["rewards"], s) for s in ("group", "batch", "none")
        },
        **data,
    )
    print(f"{path}: {len(CASES)} cases, {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

"""`jaxrl doctor`: versions, devices, caches, and what is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from jaxrl.commands.options import enable_compilation_cache
from jaxrl.errors import JaxrlError
from jaxrl.run.machine import machine

OPTIONAL = {
    "matplotlib": ("plot", "learning curves"),
    "PIL": ("video", "GIFs"),
    "imageio_ffmpeg": ("video", "MP4 videos"),
    "tensorboardX": ("tensorboard", "TensorBoard logs"),
    "gymnasium": ("gymnasium", "bridges to Gymnasium"),
    "wandb": ("wandb", "Weights & Biases"),
}


def main(argv: Sequence[str]) -> None:
    """Runs the command; raises `JaxrlError` where something needed is missing or does not work."""
    if argv:
        print("usage: jaxrl doctor\n\nShows versions, devices and caches, and what is missing.")
        return
    import jax
    import jax.numpy as jnp

    found = machine()
    for name, version in found.pop("versions").items():
        print(f"{name:18} {version or 'MISSING'}")
    for name, value in found.items():
        print(f"{name:18} {', '.join(value) if isinstance(value, list) else value}")
    folder = enable_compilation_cache()
    size = sum(file.stat().st_size for file in folder.glob("*")) if folder.is_dir() else 0
    print(f"{'compilation cache':18} {folder} ({size / 1e6:.1f} MB)")
    for module, (extra, purpose) in OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            print(f"{'not installed':18} {module}: {purpose} need pip install 'jaxrl[{extra}]'")
    total = jax.jit(lambda x: (x @ x).sum())(jnp.ones((64, 64)))
    if float(total) != 64.0**3:
        raise JaxrlError(f"a matrix product on {jax.devices()[0]} gave {total}, not 262144.")
    print(f"{'works':18} a compiled matrix product on {jax.devices()[0].device_kind}")

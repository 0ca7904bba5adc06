"""jaxrl: reinforcement learning end to end on the accelerator, with VLMs in the loop."""

__version__ = "0.1.0"

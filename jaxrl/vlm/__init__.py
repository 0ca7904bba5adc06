"""Asking vision-language models: clients, store, budget, prompts, parsing. Knows nothing of RL."""

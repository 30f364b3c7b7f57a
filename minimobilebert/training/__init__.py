"""Optimisers, schedules, checkpoints, and one training loop for all stages."""

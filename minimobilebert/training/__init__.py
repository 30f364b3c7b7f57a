"""Optimisers, schedules, checkpoints, and one loop for every stage."""

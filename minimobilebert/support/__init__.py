"""Helpers for the whole project: safe reading of files, archives, shapes of JSON and TOML, standard streams."""

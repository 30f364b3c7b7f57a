"""What every room may use: reading files safely, archives, shapes of JSON and TOML, the standard streams."""

"""What every room may use: reading files safely, shapes of JSON and TOML, the standard streams."""

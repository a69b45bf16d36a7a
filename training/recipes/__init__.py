"""Training recipes: TOML files with settings and the scores to expect."""

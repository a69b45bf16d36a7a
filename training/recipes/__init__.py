"""Recipes of training, TOML files: :mod:`asmnet_kit.training.recipe_files` reads them."""

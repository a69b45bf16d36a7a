"""The models that come with the kit: finding one, and adding one with its card."""

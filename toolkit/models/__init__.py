"""The model files that come with the kit, and their cards."""

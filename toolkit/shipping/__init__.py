"""The models that come with the kit: finding them, and putting one in with its card."""

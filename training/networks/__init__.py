"""The networks, one file each; ``registry.build`` makes them by name."""

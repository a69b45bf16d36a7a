"""The networks, one file each, and where their weights start."""

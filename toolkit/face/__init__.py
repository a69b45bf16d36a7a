"""A face as numbers: landmark schemes, the one crop, pose, shape model, metrics."""

"""A face as numbers: landmark schemes, the crop, head pose, shape model, metrics."""

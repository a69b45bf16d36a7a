"""ASM-LOSS: the shape model as TensorFlow operations, the losses, alpha by epoch."""

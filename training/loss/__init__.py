"""ASM-LOSS: the Active Shape Model as TensorFlow operations, the losses, alpha by epoch."""

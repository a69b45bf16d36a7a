"""The float model to quantize: opened, flattened, batch norm folded, channels equalised."""

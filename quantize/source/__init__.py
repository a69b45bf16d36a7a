"""The float model: opened, flattened, batch norm folded, channels equalised."""

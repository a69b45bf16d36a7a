"""int8 rounding emulated while fine-tuning, and what it costs in each layer."""

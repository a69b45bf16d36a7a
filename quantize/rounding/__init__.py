"""Rounding while fine-tuning: emulated int8, its training, what each layer costs."""

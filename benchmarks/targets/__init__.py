"""What a model can be measured on: one file for each target."""

"""Each target that a model can be measured on: a file of its own."""

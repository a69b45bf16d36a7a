"""One file for each target a model can be measured on."""

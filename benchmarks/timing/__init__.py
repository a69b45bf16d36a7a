"""Times a model in one process: runs, frame stages, operators, noise, the machine."""

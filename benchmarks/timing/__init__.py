"""Times a model in one process: runs, stages of a frame, operators, noise, the machine."""

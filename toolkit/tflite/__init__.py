"""The .tflite file: reading it safely, its metadata, what it holds and where it may run."""

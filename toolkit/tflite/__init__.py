"""The .tflite file: safe reading, metadata, int8 rules, where operators can run."""

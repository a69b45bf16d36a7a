"""The .tflite file: reading it safely, metadata, int8 rules, where its operators can run."""

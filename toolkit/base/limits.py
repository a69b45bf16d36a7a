"""Limits and names that several rooms check; no imports, so that ``--help`` may read them."""

MAX_INPUT_SIZE = 1024  # pixels, side of a model's input: 64 crops of them are 200 MB, as floats 800
MAX_SEED = 2**32 - 1  # of NumPy's older generator, which TensorFlow's tools use
MAX_THREADS = 256  # of a runtime: more crash XNNPACK
MAX_WORKERS = 256  # processes of a command: each holds two files of the caller's
MAX_PEOPLE = 2**31  # rendered in a training: people of higher numbers are validated and measured on
SCHEME_NAMES = ("5", "19", "21", "29", "68", "98", "106")  # the built-in landmark schemes

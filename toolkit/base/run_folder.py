"""What a run folder holds, by name: a training run writes it, every later step reads it."""

CONFIG = "config.toml"  # what the run was told
MANIFEST = "manifest.json"  # where the model came from and how good it is
MODEL = "model.keras"  # the best averaged weights, written at the end
SHAPE_MODEL = "shape_model.npz"
HISTORY = "history.csv"  # a row per epoch
CURVES = "curves.png"
CHECKPOINTS = "checkpoints"
SHOWN = "faces.npz"  # in it: landmarks of a few validation faces by epoch, for the curves
LAST_CHECKPOINT = "last.npz"  # in it: what --resume goes on from
UNFINISHED = ".unfinished"  # behind a .tflite's name: the folder of its fine-tuning's checkpoints
RECORDS = "records"  # pictures prepared for training
TENSORBOARD = "tensorboard"

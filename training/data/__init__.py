"""From labelled faces to batches: splits, teacher labels, augmentation, shards."""

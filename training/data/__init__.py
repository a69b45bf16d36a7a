"""From labelled faces to training batches: splits, teacher labels, augmentation, shards."""

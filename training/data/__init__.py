"""From labelled faces to training batches: splits, teachers' labels, augmentation, shards."""

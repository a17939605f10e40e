"""Further terms of the training loss, beside the cross-entropy of each target: one file each."""

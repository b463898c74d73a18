"""What several recipes share: checkpoints, scores, packages of real music."""

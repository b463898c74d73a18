"""What several recipes share: training loops, commands, figures, scores, packages of real music."""

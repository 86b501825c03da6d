"""Data on disk: time and memory of training, and quality of block-shuffled reading."""

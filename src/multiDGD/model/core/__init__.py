"""Setup, training, saving, and representations of any cells."""

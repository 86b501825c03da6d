"""Counts in missing modalities."""

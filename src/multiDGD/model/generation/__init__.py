"""Simulated cells and posterior predictive samples."""

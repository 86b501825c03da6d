"""Prediction of one half of the molecules from the other half."""

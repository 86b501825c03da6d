"""Prediction of labels by the supervised mixture."""

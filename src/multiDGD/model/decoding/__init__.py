"""Decoded values of cells, their intervals and their fit."""

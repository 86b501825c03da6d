"""Differential abundance of cells between samples."""

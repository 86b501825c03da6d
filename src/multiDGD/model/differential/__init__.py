"""Differential expression and accessibility."""

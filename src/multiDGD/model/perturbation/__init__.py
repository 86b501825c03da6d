"""Perturbations in silico."""

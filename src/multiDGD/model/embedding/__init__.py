"""Representations of cells, components of the mixture, typicality and annotation."""

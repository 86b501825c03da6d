"""A report on a trained model as one HTML file: what was fitted, how well, and its cells."""

from ._checks import Check, Light
from ._collect import collect
from ._render import render
from ._sections import Report

__all__ = ["Check", "Light", "Report", "collect", "render"]

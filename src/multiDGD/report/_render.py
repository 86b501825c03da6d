"""The HTML page of a report."""

from __future__ import annotations

from dataclasses import asdict
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from . import _svg
from ._sections import Report

_SCRIPTS = ("vendor/plotly-gl2d.min.js", "decode.js", "legend.js", "plane.js", "page.js")


def render(report: Report) -> str:
    """Render a report as one self-contained HTML page.

    All text from the data is escaped. The page contains its scripts and styles, and its content
    security policy forbids requests to the network.

    Parameters
    ----------
    report
        Result of :func:`collect`.

    Returns
    -------
    The page.

    Examples
    --------
    >>> page = render(collect(model))  # doctest: +SKIP
    """
    environment = Environment(
        loader=PackageLoader("multiDGD.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "sort_keys": False}
    environment.filters["code"] = _code
    environment.filters["number"] = _number
    environment.filters["percent"] = _percent
    return environment.get_template("report.html").render(
        report=report,
        charts=[_svg.chart(curve) for curve in report.curves],
        chart_size=(_svg.WIDTH, _svg.HEIGHT),
        cells=asdict(report.cells),
        style=Markup(_text("style.css")),
        scripts=[Markup(_text(name)) for name in _SCRIPTS],
    )


def _text(name: str) -> str:
    return files("multiDGD.report").joinpath("templates", name).read_text(encoding="utf-8")


def _code(text: str) -> Markup:
    """Text in which names between backticks are marked up as code; everything is escaped."""
    parts = [
        Markup("<code>{}</code>" if i % 2 else "{}").format(p)
        for i, p in enumerate(text.split("`"))
    ]
    return Markup("").join(parts)


def _number(value: Any) -> str:
    """A whole number with separators, or a dash if it is missing."""
    return "–" if value is None or value != value else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    """A share in percent, or a dash if it is missing."""
    return "–" if value is None or value != value else f"{100 * value:.1f} %"

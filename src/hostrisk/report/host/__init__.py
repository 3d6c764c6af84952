"""The report of a host assessment: a dict of figures in; a page, Markdown or text out."""

from hostrisk.report.host.rendering import render_html, render_markdown, render_text
from hostrisk.report.host.summary import summarize

__all__ = ["render_html", "render_markdown", "render_text", "summarize"]

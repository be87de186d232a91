"""The report of a run: one HTML file with everything in it, that a paper can be given with."""

from sae_core.publish.report.page import report_html

__all__ = ["report_html"]

"""Measures all that there is to know of an accelerator, within minutes: a JSON file and a page.

Parts are measured in the order of their importance, each in a process of its own and each with a
share of the time. What has no time left is measured by a second call. On a CPU everything is
smaller.
"""

from benchmarks.accelerator.command import add_arguments, run

__all__ = ["add_arguments", "run"]

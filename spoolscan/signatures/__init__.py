"""Signatures kept new: fetched, proven, tried, and only then put in force.

A source is one file, ``fetched-NAME.yar`` or ``fetched-NAME.sha256`` in the directory of the
embedded engine, which reads it again by itself.  The file before it stays beside it, with ``.last``
behind its name.
"""

"""spoolscan: an e-mail firewall in a spool directory.

A directory is a state, a folder is a stage, a file is one thought: the receiver writes messages
into ``incoming/``, the scanner moves them to ``outgoing/`` or ``quarantine/``, the forwarder drains
``outgoing/``.  The stages meet in the spool and nowhere else.
"""

__version__ = "0.1.0"

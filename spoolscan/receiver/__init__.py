"""The receiver: from a peer's connection to a committed file in ``incoming/``.

``server`` holds the sockets; ``session`` is the protocol without I/O, over ``address`` and
``inbound`` (a message's bytes: ``dotted``, ``hops``), with ``events`` and ``reply`` for its words;
``connection`` joins the two.  ``judge`` rules on each recipient, by ``policy``, ``access``,
``rules`` and ``dnsbl``, over ``lookups``.  ``intake`` writes to the spool, off the event loop,
under the line that ``trace`` makes.
"""

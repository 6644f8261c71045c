"""The receiver: from a peer's connection to a committed file in ``incoming/``.

``server`` holds the sockets of ``listeners``; ``session`` is the protocol without I/O, by the table
of ``commands``, over ``address``, ``arguments``, ``attributes``, ``dialogue`` and ``inbound`` (a
message's bytes: ``dotted``, ``chunked``, ``hops``), with ``events`` and ``reply`` for its words;
``connection`` joins the two over a ``link`` (``tls``), with a ``visitor`` at its other end.
``judge`` rules on each recipient, by ``policy``, ``access``, ``rules`` and ``dnsbl``, over
``lookups``.  ``intake`` writes to the spool, off the event loop, what ``record`` and ``trace`` make
of it.  ``stdio`` is one session without a listening socket.
"""

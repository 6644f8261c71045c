"""Next hops in words: which take whose mail, and how each is spoken to.

The forwarder gives mail to them, the receiver asks them who exists: both go by the same table.
"""

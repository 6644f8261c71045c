"""The forwarding stage: drains outgoing/ to the next hop, recipient by recipient."""

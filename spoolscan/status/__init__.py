"""How the gateway is, at this moment: facts, numbers for a monitor, and a port to ask at."""

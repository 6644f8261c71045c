"""A load generator, a sink and what stands between them: how tests/bench/gateway.py measures."""

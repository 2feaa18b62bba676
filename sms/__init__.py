"""SMS in and out: gateways, the outbox, delivery reports, replies."""

"""What the isolation sweep is made of: two worlds, every route, every caller."""

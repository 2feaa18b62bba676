"""Whose it is, who may, how much of it, and who did it: clients, roles, limits, tokens, audit."""

"""The simulator: players, sockets, signage CMS and an SMS gateway for demo, training and tests."""

"""Real servers for the tests, each started from Debian's package on a free loopback port."""

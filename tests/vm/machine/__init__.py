"""A virtual machine with a stock Debian kernel, whose root is this machine's, read-only."""

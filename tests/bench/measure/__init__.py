"""The parts of the benchmark, one kind of measurement a file."""

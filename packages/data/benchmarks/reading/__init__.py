"""What the benchmarks of tomolift.data race: ways of reading volumes."""

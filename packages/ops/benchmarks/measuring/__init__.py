"""What the benchmarks of tomolift.ops are made of."""

"""What the benchmarks of tomolift-inflation are made of."""

"""What the benchmarks of tomolift.ops race: losses, gradients and confusion matrices."""

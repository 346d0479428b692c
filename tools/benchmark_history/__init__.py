"""What tools/compare_benchmarks.py is made of."""

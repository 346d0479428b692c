"""What the benchmarks of every package are made of: races, clocks, and what is kept of them."""

"""What tools/check_cuda_code.py reads in the compiler's output, and what it demands of it."""

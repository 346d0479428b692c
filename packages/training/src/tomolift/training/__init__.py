"""tomolift.training."""

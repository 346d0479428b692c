"""tomolift.data."""

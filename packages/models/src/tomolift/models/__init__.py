"""tomolift.models."""

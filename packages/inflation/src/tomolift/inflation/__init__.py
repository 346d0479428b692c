"""tomolift.inflation."""

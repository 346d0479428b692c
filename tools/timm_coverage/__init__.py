"""Which of 36 families of image models convert, and how exactly."""

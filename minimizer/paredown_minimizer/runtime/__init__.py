"""Running the container with less, from what its plan says that the runs needed."""

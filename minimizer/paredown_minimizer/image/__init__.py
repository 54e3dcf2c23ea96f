"""Images: reading them into one model, and writing what is left."""

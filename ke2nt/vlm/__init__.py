"""Image encoders, and the cache of image embeddings."""

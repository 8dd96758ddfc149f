"""Text banks and image embeddings, and the content-addressed cache that keeps both."""

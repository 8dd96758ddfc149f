"""Heat maps over a face that explain a prediction, and checks of them."""

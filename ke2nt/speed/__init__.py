"""How fast training, prediction and the text cache are on this machine."""

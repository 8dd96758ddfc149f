"""Drawn faces with known identity, expression, intensity, style and regions, made from a seed."""

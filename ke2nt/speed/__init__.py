"""Throughput of training, prediction and the text cache on this machine."""

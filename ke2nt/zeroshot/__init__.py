"""Zero-shot evaluation: images embedded once, scored under any words."""

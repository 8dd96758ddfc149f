"""What an answer rests on: heat maps over a face, drawn and checked."""

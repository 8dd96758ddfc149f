"""Text encoders and vision-language models, one adapter file for each library."""

"""What every room needs of the machine: files, digests, seeds, versions. No torch at import."""

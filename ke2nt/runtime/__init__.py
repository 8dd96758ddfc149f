"""What every room needs of the machine: files, digests, seeds, console, versions. No torch at import."""

"""The command line. Every heavy import happens inside a command, so that `ke2nt --help` is instant."""

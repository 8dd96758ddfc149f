"""The command line. Heavy imports happen inside commands, so that `ke2nt --help` is instant."""

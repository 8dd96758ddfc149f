"""`python -m ke2nt` is the same as `ke2nt`."""

from ke2nt.cli.main import main

if __name__ == "__main__":
    main()

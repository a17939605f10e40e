"""`python -m shrinklm` is the command `shrinklm`."""

from .cli import main

if __name__ == "__main__":
    main()

"""`python -m specmaskgit_cli` is `smg`."""

from .cli import main

if __name__ == "__main__":
    main()

"""Let `python -m clipcheck` do what `clipcheck` does."""

from clipcheck.cli import main

if __name__ == "__main__":
    main()

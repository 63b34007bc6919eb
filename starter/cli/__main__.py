"""`python -m starter.cli`: the same as `vulnzero`, also where no script was installed."""

from starter.cli.main import main

if __name__ == "__main__":
    main()

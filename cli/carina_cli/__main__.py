"""Run the command as `python -m carina_cli`."""

from carina_cli.main import main

main()

"""`python -m sandbox`: the Dataverse emulator on its own."""

from sandbox.cli import main

if __name__ == "__main__":
    main()

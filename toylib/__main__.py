"""`python -m toylib` : l'expérience `toytest`."""

from toylib.experiment import main

if __name__ == "__main__":
    main()

"""The pages of the board: a file for each."""

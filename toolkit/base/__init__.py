"""What every room may use: errors, files written whole or not at all, the terminal."""

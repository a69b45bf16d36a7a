"""Errors, files written whole or not at all, run folders, plug-in tables, the terminal."""

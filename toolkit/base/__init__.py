"""Errors, files written whole or not at all, run folders, plug-ins, the terminal."""

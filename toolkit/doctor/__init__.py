"""What works on this machine, and how to fix the rest."""

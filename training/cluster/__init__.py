"""Several workers as one run: who takes part, who is lost, starting all again."""

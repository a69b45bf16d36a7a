"""A browser as a place to measure: the page, the server that serves it and what the page needs."""

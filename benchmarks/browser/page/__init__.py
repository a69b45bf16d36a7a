"""The page's own files: HTML, CSS and ES modules, served as they are."""

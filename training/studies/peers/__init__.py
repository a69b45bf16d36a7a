"""How the kit's models compare with landmark models of other packages."""

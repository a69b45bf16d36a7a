"""The commands of asmnet-kit that need no stage. These alone may name stages, as strings."""

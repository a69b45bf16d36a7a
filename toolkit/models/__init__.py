"""The models that come with the kit: files and cards, read by :mod:`asmnet_kit.shipped`."""

"""The models that come with the kit: files and cards, read by asmnet_kit.shipping.shipped."""

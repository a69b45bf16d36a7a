"""Drivers and libraries of this machine: Vulkan, the Edge TPU's."""

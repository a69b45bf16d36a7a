"""libedgetpu on this machine."""

# Reported in google-coral/edgetpu#812; none of it was tried here, where there is no device.
LIBEDGETPU_BUILDS = (
    "Google's own libedgetpu 16.0 is of TensorFlow 2.5's time: users report segmentation faults "
    "with 2.12 and newer, and that the builds of github.com/feranick/libedgetpu work with them"
)

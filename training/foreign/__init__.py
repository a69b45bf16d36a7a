"""Models that another program wrote: .h5, Keras 3, SavedModel; opened in processes of their own."""

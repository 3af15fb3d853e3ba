"""The numbers of a window: how a merged state becomes the sections of a window's metrics."""

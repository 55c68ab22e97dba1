"""A ResNet for CIFAR with hybrid ConvNN layers, and a data set of images in folders: an example of a plugin."""

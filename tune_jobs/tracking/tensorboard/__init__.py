"""Event files for TensorBoard, in the folder `tensorboard` of a sweep: one run per trial."""

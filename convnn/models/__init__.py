"""The paper's architectures: blocks, builders, and presets."""

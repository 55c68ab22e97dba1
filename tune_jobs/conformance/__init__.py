"""What every kind keeps to, ours and those of plugins: `convnn check-plugin` and our tests ask the same."""

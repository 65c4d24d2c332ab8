"""What it meant: frames, figures, reports; reads the store only."""

"""Pre-trained checkpoints: where they are found, how they are loaded, and what preprocessing they expect."""

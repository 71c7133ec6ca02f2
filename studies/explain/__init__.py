"""Do explanations point at what their sentence is about? Stills of the rendered world, where the answer is known."""

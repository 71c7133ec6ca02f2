"""Which frames of a video make a clip, and how they are cropped and augmented."""

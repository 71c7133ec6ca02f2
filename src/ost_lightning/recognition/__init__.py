"""Recognition for people: weights and labels in, answers about a video out."""

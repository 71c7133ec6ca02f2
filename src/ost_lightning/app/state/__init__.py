"""What sessions of the app remember: videos, classes, sentences, and weights that they share."""

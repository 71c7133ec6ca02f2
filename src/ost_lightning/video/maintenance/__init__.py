"""Work on files of videos: inspecting, checking, re-encoding, packing."""

"""Draws synthetic faces with exact landmarks: head, skin, light, scenery, camera."""

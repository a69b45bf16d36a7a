"""From a photograph or film to landmarks: the face detector, models on crops, tracking, drawing."""

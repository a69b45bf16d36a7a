"""From a photograph or film to landmarks: face detector, predictor, tracking, drawing."""

"""From a photograph or film to landmarks: detector, predictor, tracking, drawing."""

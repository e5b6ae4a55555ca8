"""3 The person's FaceParams to the target's motion: neutral face, gains, limits, idling."""

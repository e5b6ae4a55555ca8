"""The demo driver: a rendered head that talks, smiles, blinks and turns, for who has no camera."""

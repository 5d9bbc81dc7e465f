"""What a connector is made of: values that describe a platform, roles it can play, one HTTP door."""

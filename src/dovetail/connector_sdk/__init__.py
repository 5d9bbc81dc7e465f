"""What a connector is made of: values that describe a platform, roles, one HTTP door."""

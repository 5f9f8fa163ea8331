"""What a checkpoint says: the settings of its models, their limits, and the sizes that can be trained."""

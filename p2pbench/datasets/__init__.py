"""What a generator learns from: pairs of pictures with the item's id, and label maps where there are any."""

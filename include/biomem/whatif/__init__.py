"""What would be kept, forgotten and promoted with other parameters: computed in copies, before anything is changed."""

"""What can be built: architectures, spaces, operations, their costs and their networks."""

"""What the Publish page is made of: statements and checks, the destinations, the token of this visit."""

"""The VA manager of a GPU driver."""

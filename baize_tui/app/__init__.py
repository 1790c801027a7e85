"""The screen: everything that imports textual."""

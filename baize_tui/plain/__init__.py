"""The client without a screen: it only appends lines, for screen readers and simple terminals."""

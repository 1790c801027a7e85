"""How many threads compute: chosen from measured times and from what other processes use."""

"""What converter, trainer and chat client share about the machine they run on."""

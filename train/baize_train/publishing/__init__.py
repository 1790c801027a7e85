"""A folder on the Hugging Face Hub: what of it may be sent, and how it is sent."""

"""What other programs and browsers reach: the OpenAI-compatible endpoint, and the client as a page.

Both listen on 127.0.0.1 unless the person says otherwise, and answer nobody without their secret.
"""

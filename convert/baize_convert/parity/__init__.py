"""Whether llama.cpp reads text as the tokenizer of the source does."""

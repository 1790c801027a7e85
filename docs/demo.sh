#!/usr/bin/env bash
# The whole loop on a processor: collect, train, merge into 4 bits, chat. `make demo` runs it.
# It can be interrupted; the next run continues.
set -euo pipefail
folder=${1:-.cache/demo}
mkdir -p "$folder"

step() {
  printf '\n\033[1m$ %s\033[0m\n' "$*"
  "$@"
}

cat <<'TEXT'
This collects 20 dialogues that a model of 135 million parameters holds with itself, trains a LoRA on
them for a few steps, merges it into a 4-bit GGUF, and opens the chat on that.
It shows that every step works, not what quality is possible: such a small teacher has nothing to
teach. It takes about ten minutes on two cores.
TEXT
step baize-train selfchat --mode transcript --seeds domain:quora --turns 2 --max-tokens 200 \
  --dialogues 20 -o "$folder/corpus.jsonl"
step baize-train data stats "$folder/corpus.jsonl"
step baize-train data split "$folder/corpus.jsonl" --part 0.2 \
  --train "$folder/train.jsonl" --eval "$folder/held-out.jsonl"
step baize-train finetune --base smollm2-135m --preset cpu-try --data "$folder/train.jsonl" \
  --eval "$folder/held-out.jsonl" --epochs 4 -o "$folder/adapter"
base=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["base"])' "$folder/adapter/run.json")
step baize-convert merge "$base" --adapter "$folder/adapter" --outtype Q4_K_M \
  --output "$folder/mine.gguf"
step baize-train eval --base smollm2-135m --adapter "$folder/adapter" \
  --model "$folder/mine.gguf" --data "$folder/held-out.jsonl"
if [ -t 1 ]; then
  step baize-tui --model "$folder/mine.gguf"
else
  step baize-tui ask 'Who are you?' --model "$folder/mine.gguf" --no-save --max-tokens 60
fi

from baize_train.cli import main

main()

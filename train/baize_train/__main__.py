from baize_train.cli.app import main

main()

# The command line program: arguments, outputs, exit codes, malformed input.
. tests/stages/common.sh
build release || exit
python_tests cli

# Results against references that are not our own code: mpmath, scipy, closed forms, published values.
. tests/stages/common.sh
build release || exit
python_tests oracle

# Random graphs against 200 bits and more; `tests/oracle/fuzz KIND --seed S --only I` repeats one of them.
seed=${PM_FUZZ_SEED:-1}
echo "seed of the fuzzers: $seed"
# So many of each that they take some seconds together; the same ones on every machine.
for what in moments:200 covariance:150 wide:200 density:100 contour:100 drained:100 discrete:100 size:100 bits:30 relabel:100; do
    expect "fuzz ${what%:*} --seed $seed" tests/oracle/fuzz "${what%:*}" --seed "$seed" --count "${what#*:}" \
        --findings build/fuzz-findings
done

# Results against references that are not our own code: mpmath, scipy, closed forms, published values.
. tests/stages/common.sh
build release || exit
python_tests oracle

# Random graphs against 200 bits and more; `tests/oracle/fuzz KIND --seed S --only I` repeats one of them.
seed=${PM_FUZZ_SEED:-1}
echo "seed of the fuzzers: $seed"
for kind in moments covariance wide density drained discrete size bits relabel; do
    expect "fuzz $kind --seed $seed" tests/oracle/fuzz "$kind" --seed "$seed" --count 500 --seconds 2.5 \
        --findings build/fuzz-findings
done

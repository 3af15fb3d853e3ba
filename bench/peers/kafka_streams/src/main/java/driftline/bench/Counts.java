package driftline.bench;

/** What a window says. */
record Counts(long predictions, long labelled, long correct) {

    static Counts none() {
        return new Counts(0, 0, 0);
    }

    Counts plus(Judged judged) {
        return new Counts(predictions + 1, labelled + judged.labelled(), correct + judged.correct());
    }
}

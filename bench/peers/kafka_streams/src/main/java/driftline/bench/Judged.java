package driftline.bench;

/** A prediction and what became of it: 1 or 0 for labelled, and for correct. */
record Judged(String model, String modelVersion, long timestampMs, int labelled, int correct) {

    /** The label is null when none came within the horizon. */
    static Judged of(Prediction prediction, Label label) {
        int labelled = label == null ? 0 : 1;
        int correct = label != null && label.label() == prediction.prediction() ? 1 : 0;
        return new Judged(
                prediction.model(), prediction.modelVersion(), prediction.timestampMs(), labelled, correct);
    }
}

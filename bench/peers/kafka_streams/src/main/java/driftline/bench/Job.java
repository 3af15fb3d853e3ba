package driftline.bench;

import java.time.Duration;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.ValueJoiner;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;

/**
 * Predictions joined with their labels, counted by model version in one-minute windows of prediction time.
 *
 * <p>Written in the DSL as its documentation shows: a left join of two streams within a time difference, a grouping by
 * a new key, a windowed aggregate. The join's result takes the prediction's time again, since Kafka Streams gives it the
 * later one of both.
 */
final class Job {
    private static final Duration WINDOW = Duration.ofMinutes(1);
    private static final Duration GRACE = Duration.ofSeconds(5);
    // The partitions of a backlog are not read in step: windows lose what the slower one brings after their grace.
    private static final Duration WINDOW_GRACE = Duration.ofHours(24);

    private Job() {}

    /**
     * Topics by their full names; labels count until the horizon after the prediction. An inner join costs less and
     * counts the labelled predictions alone.
     */
    static Topology topology(
            String predictionsTopic, String labelsTopic, String windowsTopic, Duration horizon, boolean isInner) {
        Serde<String> text = Serdes.String();
        Serde<Prediction> prediction = Json.serde(Prediction.class);
        Serde<Label> label = Json.serde(Label.class);
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, Prediction> predictions = builder.stream(
                predictionsTopic,
                Consumed.with(text, prediction)
                        .withTimestampExtractor((record, time) -> ((Prediction) record.value()).timestampMs()));
        KStream<String, Label> labels = builder.stream(
                labelsTopic,
                Consumed.with(text, label)
                        .withTimestampExtractor((record, time) -> ((Label) record.value()).timestampMs()));
        ValueJoiner<Prediction, Label, Judged> judge = Judged::of;
        JoinWindows within = JoinWindows.ofTimeDifferenceAndGrace(horizon, GRACE).before(Duration.ZERO);
        StreamJoined<String, Prediction, Label> stores = StreamJoined.with(text, prediction, label);
        KStream<String, Judged> joined = isInner
                ? predictions.join(labels, judge, within, stores)
                : predictions.leftJoin(labels, judge, within, stores);
        joined.process(ByModelAtPredictionTime::new)
                .groupByKey(Grouped.with("judged", text, Json.serde(Judged.class)))
                .windowedBy(TimeWindows.ofSizeAndGrace(WINDOW, WINDOW_GRACE))
                .aggregate(
                        Counts::none,
                        (key, judged, counts) -> counts.plus(judged),
                        Materialized.with(text, Json.serde(Counts.class)))
                .toStream()
                .map((key, counts) -> KeyValue.pair(
                        key.key() + "|" + key.window().start(),
                        new WindowCounts(
                                key.window().start(), counts.predictions(), counts.labelled(), counts.correct())))
                .to(windowsTopic, Produced.with(text, Json.serde(WindowCounts.class)));
        return builder.build();
    }

    private static final class ByModelAtPredictionTime extends ContextualProcessor<String, Judged, String, Judged> {
        @Override
        public void process(Record<String, Judged> record) {
            Judged judged = record.value();
            context()
                    .forward(record.withKey(judged.model() + "|" + judged.modelVersion())
                            .withTimestamp(judged.timestampMs()));
        }
    }
}
